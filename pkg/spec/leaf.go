package spec

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is the value of a leaf; "" when it is not said.
func text(v reflect.Value, r role) string {
	if !v.IsValid() || v.IsZero() && !r.required {
		return ""
	}
	if l, ok := v.Interface().(Limit); ok && r.bytes && !l.IsMax() {
		return sizeText(l.Value())
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	if v.Kind() == reflect.String {
		return plain(v.String())
	}
	return fmt.Sprint(v.Interface())
}

// plain is s itself when it can stand without quotes, else s in quotes and ASCII, so that no two texts look the same. Identities depend on
// it, so it must not depend on what a version of Go or Unicode takes for printable.
func plain(s string) string {
	if s == "" || s[0] == ' ' || s[len(s)-1] == ' ' || strings.ContainsFunc(s, needsQuotes) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func needsQuotes(r rune) bool {
	message, _ := badRune(r, utf8.UTFMax, nil)
	return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError || message != ""
}

// joinField is the path of a struct's field.
func joinField(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// joinKey is the path of a map's entry: env.LOG, but sysctls["net.core.somaxconn"].
func joinKey(path, key string) string {
	if isWord(key) {
		return joinField(path, key)
	}
	return path + "[" + strconv.QuoteToASCII(key) + "]"
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
