package spec

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// node is one schema of JSON Schema 2020-12.
type node map[string]any

const schemaVersion = "https://json-schema.org/draft/2020-12/schema"

// Schema is the JSON Schema (2020-12) of a manifest document, for editors and pipelines. It says what a schema can say;
// Decode says the rest.
func Schema() []byte {
	container, group, job := fieldTree().schema(), trees()[KindGroup].schema(), trees()[KindJob].schema()
	spec := container["properties"].(node)["spec"]
	group["properties"].(node)["spec"].(node)["properties"].(node)["containers"].(node)["additionalProperties"] = node{"$ref": "#/$defs/containerSpec"}
	job["properties"].(node)["spec"].(node)["properties"].(node)["template"] = node{"$ref": "#/$defs/containerSpec"}
	container["properties"].(node)["spec"] = node{"$ref": "#/$defs/containerSpec"}
	rest := node{"if": isKind(KindConfig), "then": trees()[KindConfig].schema(), "else": container}
	root := node{
		"$schema": schemaVersion,
		"title":   KindContainer + ", " + KindGroup + ", " + KindJob + " or " + KindConfig + " of " + APIVersion,
		"type":    "object",
		"$defs":   node{"containerSpec": spec},
		"if":      isKind(KindGroup),
		"then":    group,
		"else":    node{"if": isKind(KindJob), "then": job, "else": rest},
	}
	data, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("spec: a schema is always JSON: " + err.Error())
	}
	return append(data, '\n')
}

// LeafSchema is the JSON Schema of a type of this package that is one value in a manifest: a quantity, or a text that is one of few words. nil for others.
func LeafSchema(t reflect.Type) map[string]any {
	values := enums[t]
	switch t {
	case reflect.TypeFor[Bytes](), reflect.TypeFor[Duration](), reflect.TypeFor[Offset]():
	default:
		if values == nil && !isLeaf(t) {
			return nil
		}
	}
	return (&Field{kind: kindOf(t), Values: values}).one()
}

// isKind is the schema of a document of a kind.
func isKind(kind string) node {
	return node{"properties": node{"kind": node{"const": kind}}, "required": []string{"kind"}}
}

// schema is the schema of a field with its shape, comment, class and default.
func (f *Field) schema() node {
	var n node
	switch f.shape {
	case shapeList:
		n = node{"type": "array", "items": f.one()}
		if f.Required {
			n["minItems"] = 1
		}
	case shapeMap:
		n = node{"type": "object", "additionalProperties": f.one(), "propertyNames": formatSchema(f.keys)}
	default:
		n = f.one()
	}
	n["description"] = f.Doc
	if f.Class != "" {
		n["x-class"] = f.Class
	}
	if f.Default != "" && f.shape == shapeOne && f.Default != defaultName {
		n["default"] = f.defaultValue()
	}
	return n
}

// durationPattern is what time.ParseDuration reads, without a sign.
const durationPattern = `([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+`

// one is the schema of one value.
func (f *Field) one() node {
	switch f.kind {
	case kindObject:
		return f.objectSchema()
	case kindText:
		if f.Values != nil {
			return node{"type": "string", "enum": f.Values}
		}
		return formatSchema(f.format)
	case kindSwitch:
		return node{"type": "boolean"}
	case kindNumber:
		return f.bounds(node{"type": "integer"})
	case kindDuration:
		return node{"type": "string", "pattern": "^" + durationPattern + "$"}
	case kindOffset:
		return node{"type": "string", "pattern": "^-?" + durationPattern + "$"}
	case kindCores:
		return node{"anyOf": []node{{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": `^(max|[0-9]+([.][0-9]+)?m?)$`}}}
	}
	return f.sizeSchema()
}

func (f *Field) objectSchema() node {
	properties, required := node{}, []string{}
	for i := range f.Fields {
		below := &f.Fields[i]
		properties[below.name] = below.schema()
		if below.Required {
			required = append(required, below.name)
		}
	}
	n := node{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		n["required"] = required
	}
	return n
}

// sizeSchema is the schema of a size or limit: a number, or a text with a unit.
func (f *Field) sizeSchema() node {
	suffixes := make([]string, len(units))
	for i, u := range units {
		suffixes[i] = u.suffix
	}
	pattern := `(0|[1-9][0-9]*)(` + strings.Join(suffixes, "|") + `)?`
	if f.kind == kindLimit {
		pattern = `(` + maxWord + `|` + pattern + `)`
	}
	return node{"anyOf": []node{f.bounds(node{"type": "integer", "minimum": 0}), {"type": "string", "pattern": "^" + pattern + "$"}}}
}

// bounds adds the field's bounds to the schema of a number.
func (f *Field) bounds(n node) node {
	for keyword, bound := range map[string]string{"minimum": f.Min, "maximum": f.Max} {
		if v, err := strconv.ParseInt(bound, 10, 64); err == nil {
			n[keyword] = v
		} else if size, err := parseSize(bound); err == nil {
			n[keyword] = size
		}
	}
	return n
}

// formatSchema is the schema of a text of a format.
func formatSchema(name string) node {
	f := formats()[name]
	n := node{"type": "string"}
	if f.pattern != "" {
		n["pattern"] = f.pattern
	}
	if f.words != nil {
		n["enum"] = f.words
	}
	return n
}

// defaultValue is the default as the schema's type has it.
func (f *Field) defaultValue() any {
	switch f.kind {
	case kindSwitch:
		return f.Default == "true"
	case kindNumber:
		return json.Number(f.Default)
	}
	return f.Default
}
