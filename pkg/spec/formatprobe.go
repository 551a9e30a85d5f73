package spec

import (
	"slices"
	"strings"
)

// probeFormats are the forms of text of a probe. All are sent as they are: none can end a line of the request.
var probeFormats = map[string]format{
	"urlPath":     {wants: "a path such as /healthz?full=1", pattern: `^/[!"$-~]*$`, longest: 2048, hint: pathHint},
	"httpHost":    {wants: "a host such as web.example.com or web:8080", pattern: `^([A-Za-z0-9_.-]+|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?$`, longest: 261},
	"headerName":  {wants: "the name of a header such as X-Probe", pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", longest: 255, check: checkHeader},
	"headerValue": {wants: "the text of a header", pattern: `^([!-~]([ -~]*[!-~])?)?$`},
	"grpcService": {wants: "the name of a service such as shop.v1.Cart", pattern: `^[!-~]+$`, longest: 255},
}

// ownHeaders are those that say how the request is read, with what says them instead.
var ownHeaders = map[string]string{
	"host": "it is host", "connection": "", "content-length": "", "transfer-encoding": "", "upgrade": "", "expect": "", "te": "", "trailer": "",
}

// checkHeader refuses headers that are the probe's own: a second one would change where the request ends.
func checkHeader(s string) error {
	hint, own := ownHeaders[strings.ToLower(s)]
	if !own {
		return nil
	}
	return fault{quoteBare(s) + " is said by the probe itself", hint}
}

func pathHint(s string) string {
	switch {
	case !strings.HasPrefix(s, "/") && !strings.Contains(s, "://"):
		return "it begins with /"
	case strings.Contains(s, "://"):
		return "say port, path and scheme, each for itself"
	case slices.Contains([]byte(s), '#'):
		return "what stands behind # is never sent"
	}
	return "write what is no visible ASCII as %XX"
}
