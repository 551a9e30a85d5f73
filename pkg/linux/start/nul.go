package start

import (
	"reflect"
	"strings"
)

// FindNUL finds a text with a NUL in a value, wherever that is; "" if there is none. The kernel would take what is before it: of a path to be
// narrowed to, say, one that allows more.
func FindNUL(value any) string { return nulIn(reflect.ValueOf(value)) }

func nulIn(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		if strings.ContainsRune(v.String(), 0) {
			return v.String()
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return nulIn(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if at := nulIn(v.Field(i)); at != "" {
				return at
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if at := nulIn(v.Index(i)); at != "" {
				return at
			}
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			if at := nulIn(iter.Key()); at != "" {
				return at
			}
			if at := nulIn(iter.Value()); at != "" {
				return at
			}
		}
	}
	return ""
}
