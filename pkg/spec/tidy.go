package spec

import "reflect"

// tidy makes empty lists and maps nil, so that an empty one and none at all are the same value. Lists behind a
// pointer stay: there, empty says something.
func tidy(c *Container) { tidyValue(reflect.ValueOf(c).Elem()) }

func tidyValue(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Elem().Kind() == reflect.Struct {
			tidyValue(v.Elem())
		}
	case reflect.Struct:
		if isLeaf(v.Type()) {
			return
		}
		for i := range v.NumField() {
			tidyValue(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			tidyValue(v.Index(i))
		}
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}
