package tree

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// EncodeDeleted writes names as other tools read them in a file deleted.files: a JSON array of strings. A byte that is no UTF-8 becomes a
// lone surrogate, \udc80 to \udcff, as Python has it for names of files (PEP 383).
func EncodeDeleted(names []string) []byte {
	text := []byte{'['}
	for i, name := range names {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendString(text, name)
	}
	return append(text, "]\n"...)
}

func appendString(text []byte, name string) []byte {
	text = append(text, '"')
	for size := 0; name != ""; name = name[size:] {
		var r rune
		switch r, size = utf8.DecodeRuneInString(name); {
		case r == utf8.RuneError && size == 1:
			text = fmt.Appendf(text, `\udc%02x`, name[0])
		case r < ' ' || r == '"' || r == '\\':
			text = fmt.Appendf(text, `\u%04x`, r)
		default:
			text = utf8.AppendRune(text, r)
		}
	}
	return append(text, '"')
}

// DecodeDeleted is the opposite of EncodeDeleted. The names are no more to be trusted than the text: Apply looks at them.
func DecodeDeleted(text []byte) ([]string, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, malformed("deleted files: %v", err)
	}
	names := make([]string, 0, len(raw))
	for _, r := range raw {
		if len(r) == 0 || r[0] != '"' {
			return nil, malformed("a deleted file %.40s", r)
		}
		names = append(names, unquote(string(r[1:len(r)-1])))
	}
	return names, nil
}

// escapes are those of a letter.
var escapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unquote reads what is between the quotes of a valid JSON string.
func unquote(text string) string {
	name := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			name = append(name, text[i])
			continue
		}
		i++
		switch c := text[i]; {
		case c == 'u':
			first := unit(text[i:])
			i += 4
			if pair := utf16.DecodeRune(first, unit(text[min(i+2, len(text)):])); i+1 < len(text) && text[i+1] == '\\' && pair != utf8.RuneError {
				name = utf8.AppendRune(name, pair)
				i += 6
			} else if first >= 0xdc80 && first <= 0xdcff {
				name = append(name, byte(first))
			} else {
				name = utf8.AppendRune(name, first)
			}
		case escapes[c] != 0:
			name = append(name, escapes[c])
		default:
			name = append(name, c)
		}
	}
	return string(name)
}

// unit reads u and the four digits of one UTF-16 code unit; utf8.RuneError if there are none.
func unit(text string) rune {
	if len(text) < 5 || text[0] != 'u' {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(text[1:5], 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
