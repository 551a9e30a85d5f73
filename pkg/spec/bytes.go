package spec

import "encoding/json"

// Bytes is a size in bytes; zero means not said. In YAML: 512, 64Ki, 10Mi, 1Gi, 5M.
type Bytes uint64

// ParseBytes reads a whole number with an optional unit, at most 1<<63 - 1.
func ParseBytes(s string) (Bytes, error) {
	n, err := parseSize(s)
	return Bytes(n), err
}

// String is the size with the largest binary unit that divides it: 64Mi, 1000.
func (b Bytes) String() string { return sizeText(uint64(b)) }

// MarshalJSON writes the text of String.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// UnmarshalJSON reads a number or a text as ParseBytes does; null is not said.
func (b *Bytes) UnmarshalJSON(data []byte) error { return unmarshalQuantity(b, data, ParseBytes) }
