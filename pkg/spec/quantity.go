package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// maxQuantity is the largest number a quantity holds: kernel files are read into signed 64 bit words.
const maxQuantity = 1<<63 - 1

// units are the suffixes of a size, smallest first: decimal and binary ones as in Kubernetes.
var units = []struct {
	suffix string
	factor uint64
}{
	{"k", 1e3},
	{"Ki", 1 << 10},
	{"M", 1e6},
	{"Mi", 1 << 20},
	{"G", 1e9},
	{"Gi", 1 << 30},
	{"T", 1e12},
	{"Ti", 1 << 40},
	{"P", 1e15},
	{"Pi", 1 << 50},
	{"E", 1e18},
	{"Ei", 1 << 60},
}

const unitsHint = "units are k, M, G, T, P, E (powers of 1000) and Ki, Mi, Gi, Ti, Pi, Ei (powers of 1024)"

// fault is an error in a value, with what to do about it, if one action helps.
type fault struct{ message, hint string }

func (f fault) Error() string { return f.message }

// faultf makes a fault without a hint.
func faultf(format string, args ...any) fault { return fault{message: fmt.Sprintf(format, args...)} }

// parseSize reads a whole number with an optional unit.
func parseSize(s string) (uint64, error) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	digits, suffix := s[:end], s[end:]
	switch {
	case s == "":
		return 0, faultf("an empty text is not a number")
	case s[0] == '-':
		return 0, faultf("%s is negative", quote(s))
	case digits != "" && suffix != "" && (suffix[0] == '.' || suffix[0] == ','):
		return 0, fault{quote(s) + " is not a whole number", "use a smaller unit: 1536Mi rather than 1.5Gi"}
	case digits == "":
		return 0, faultf("%s is not a number", quote(s))
	case len(digits) > 1 && digits[0] == '0':
		return 0, fault{quote(s) + " begins with a zero, which YAML may read as octal", "write it without the leading zero"}
	}
	factor, ok := unitFactor(suffix)
	if !ok {
		return 0, fault{quote(s) + " has an unknown unit", unitHint(digits, suffix)}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxQuantity/factor {
		return 0, faultf("%s is larger than the kernel can hold (%d)", quote(s), uint64(maxQuantity))
	}
	return n * factor, nil
}

func unitFactor(suffix string) (uint64, bool) {
	if suffix == "" {
		return 1, true
	}
	for _, u := range units {
		if u.suffix == suffix {
			return u.factor, true
		}
	}
	return 0, false
}

// unitHint names the unit that was meant by spellings such as KB, mb or GiB.
func unitHint(digits, suffix string) string {
	bare := strings.TrimSpace(strings.ToLower(suffix))
	if bare == "b" || len(digits) > 18 {
		return unitsHint
	}
	bare = strings.TrimSuffix(bare, "b")
	for i, u := range units {
		switch {
		case bare != strings.ToLower(u.suffix):
		case len(bare) == 2:
			return "did you mean " + digits + u.suffix + "?"
		default:
			return fmt.Sprintf("did you mean %s%s (powers of 1000) or %s%s (powers of 1024)?", digits, u.suffix, digits, units[i+1].suffix)
		}
	}
	return unitsHint
}

// sizeText is n with the largest binary unit that divides it, else as digits.
func sizeText(n uint64) string {
	for i := len(units) - 1; i > 0; i -= 2 {
		if u := units[i]; n != 0 && n%u.factor == 0 {
			return strconv.FormatUint(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatUint(n, 10)
}

// quantityText is the text of a quantity in JSON: a string's contents, or a number's digits. null is "".
func quantityText(data []byte) (string, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "", faultf("no value")
	}
	switch c := data[0]; {
	case string(data) == "null":
		return "", nil
	case c == '"':
		var s string
		if err := json.Unmarshal(data, &s); err != nil {
			return "", err
		}
		if s == "" {
			return "", faultf("an empty text is not a number")
		}
		return s, nil
	case c == '-' || c >= '0' && c <= '9':
		return string(data), nil
	}
	return "", faultf("%s is neither a text nor a number", quote(string(data)))
}

// unmarshalQuantity sets *q from JSON by parse; null leaves nothing said.
func unmarshalQuantity[T any](q *T, data []byte, parse func(string) (T, error)) error {
	text, err := quantityText(data)
	if err != nil {
		return err
	}
	var v T
	if text != "" {
		if v, err = parse(text); err != nil {
			return err
		}
	}
	*q = v
	return nil
}
