package api_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// schema is a JSON Schema in a document that references lead into.
type schema struct{ root map[string]any }

// at is what a reference points to; its parts are separated by slashes.
func (s schema) at(ref string) (map[string]any, error) {
	here := s.root
	for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		next, ok := here[part].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s leads nowhere at %q", ref, part)
		}
		here = next
	}
	return here, nil
}

// annotations say nothing about what is valid.
var annotations = []string{"description", "default", "examples", "title", "properties", "additionalProperties"}

// check tells what is wrong with a value. It is stricter than a client should be: a property that the schema does not name is an error.
// A keyword that it does not know is one, too.
func (s schema) check(path string, n map[string]any, v any) error {
	for keyword, of := range n {
		if slices.Contains(annotations, keyword) || strings.HasPrefix(keyword, "x-") {
			continue
		}
		rule, ok := rules[keyword]
		if !ok {
			return fmt.Errorf("%s: the test does not know the keyword %s", path, keyword)
		}
		if err := rule(s, path, of, v); err != nil {
			return err
		}
	}
	return s.checkProperties(path, n, v)
}

func (s schema) checkProperties(path string, n map[string]any, v any) error {
	object, isObject := v.(map[string]any)
	properties, some := n["properties"].(map[string]any)
	rest, said := n["additionalProperties"]
	if !isObject || !some && !said {
		return nil
	}
	for name, value := range object {
		of, ok := properties[name].(map[string]any)
		if !ok {
			of, ok = rest.(map[string]any)
		}
		if !ok {
			return fmt.Errorf("%s.%s is not in the schema", path, name)
		}
		if err := s.check(path+"."+name, of, value); err != nil {
			return err
		}
	}
	return nil
}

// rules are the keywords.
var rules map[string]func(s schema, path string, of, v any) error

func init() {
	rules = map[string]func(s schema, path string, of, v any) error{
		"$ref": func(s schema, path string, of, v any) error {
			n, err := s.at(of.(string))
			if err != nil {
				return err
			}
			return s.check(path, n, v)
		},
		"type": func(_ schema, path string, of, v any) error { return must(typeOf(v, of), path, "is no %v: %v", of, v) },
		"enum": func(_ schema, path string, of, v any) error {
			return must(slices.Contains(of.([]any), v), path, "is none of %v: %v", of, v)
		},
		"const": func(_ schema, path string, of, v any) error { return must(of == v, path, "is not %v: %v", of, v) },
		"required": func(_ schema, path string, of, v any) error {
			object, _ := v.(map[string]any)
			for _, name := range of.([]any) {
				if _, ok := object[name.(string)]; !ok {
					return fmt.Errorf("%s has no %s", path, name)
				}
			}
			return nil
		},
		"items": func(s schema, path string, of, v any) error {
			list, _ := v.([]any)
			for i, item := range list {
				if err := s.check(fmt.Sprintf("%s[%d]", path, i), of.(map[string]any), item); err != nil {
					return err
				}
			}
			return nil
		},
		"anyOf": func(s schema, path string, of, v any) (err error) {
			for _, n := range of.([]any) {
				if err = s.check(path, n.(map[string]any), v); err == nil {
					return nil
				}
			}
			return err
		},
		"pattern": func(_ schema, path string, of, v any) error {
			text, isText := v.(string)
			return must(!isText || regexp.MustCompile(of.(string)).MatchString(text), path, "does not match %v: %q", of, v)
		},
		"format": func(_ schema, path string, of, v any) error {
			_, err := time.Parse(time.RFC3339Nano, v.(string))
			return must(of == "date-time" && err == nil, path, "is no %v: %v", of, v)
		},
		"minimum": func(_ schema, path string, of, v any) error {
			return number(path, v, func(n float64) bool { return n >= of.(float64) })
		},
		"maximum": func(_ schema, path string, of, v any) error {
			return number(path, v, func(n float64) bool { return n <= of.(float64) })
		},
		"exclusiveMinimum": func(_ schema, path string, of, v any) error {
			return number(path, v, func(n float64) bool { return n > of.(float64) })
		},
		"minItems": func(_ schema, path string, of, v any) error {
			list, _ := v.([]any)
			return must(float64(len(list)) >= of.(float64), path, "has fewer than %v", of)
		},
		"propertyNames": func(s schema, path string, of, v any) error {
			object, _ := v.(map[string]any)
			for name := range object {
				if err := s.check(path+"."+name, of.(map[string]any), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func must(ok bool, path, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(path+" "+format, args...)
}

func number(path string, v any, ok func(float64) bool) error {
	n, isNumber := v.(float64)
	return must(!isNumber || ok(n), path, "is out of bounds: %v", v)
}

// typeOf tells whether a value is of a type of JSON Schema.
func typeOf(v, of any) bool {
	switch v := v.(type) {
	case string:
		return of == "string"
	case bool:
		return of == "boolean"
	case float64:
		return of == "number" || of == "integer" && v == float64(int64(v))
	case map[string]any:
		return of == "object"
	case []any:
		return of == "array"
	}
	return false
}

// decoded is JSON as encoding/json gives it.
func decoded(text []byte) (v any, err error) {
	err = json.Unmarshal(text, &v)
	return v, err
}
