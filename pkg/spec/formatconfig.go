package spec

import (
	"path"
	"strings"
)

// configFormats are the forms of texts of configs. What a file holds is not repeated in messages.
var configFormats = map[string]format{
	"fileName":   {wants: "a file name without a slash that does not begin with two dots", pattern: `^([^./][^/]*|[.][^./][^/]*)$`, longest: 255},
	"fileText":   {wants: "a text", longest: MaxConfig, lines: true},
	"base64":     {wants: "base64", longest: 2 * MaxConfig, lines: true, check: checkBase64},
	"besidePath": {wants: "a path below the manifest's directory such as ./cert.pem", pattern: `^[^/]`, longest: pathMax, check: checkBeside},
	"envPrefix":  {wants: "the beginning of a variable name such as WEB_", pattern: `^[^=]*$`, longest: 4096},
	"fileMode":   {wants: `an octal mode such as "0440"`, pattern: `^0?[0-7]{3}$`},
}

func checkBase64(s string) error {
	if _, err := decodeBase64(s); err != nil {
		return fault{"is not base64", "base64(1) writes it, with + and / and = at the end"}
	}
	return nil
}

// checkBeside checks that a path stays below its beginning.
func checkBeside(s string) error {
	clean := path.Clean(s)
	switch {
	case clean == "..", strings.HasPrefix(clean, "../"), clean == ".":
		return fault{quote(s) + " is not below the manifest's directory", "put the file beside the manifest"}
	}
	for part := range strings.SplitSeq(clean, "/") {
		if len(part) > 255 {
			return faultf("%s has a name of more than 255 bytes", quote(s))
		}
	}
	return nil
}
