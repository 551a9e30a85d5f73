package image

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// A message of criu's images is read into a struct whose fields say their number: `pb:"3"`, and `pb:"3,zigzag"` for one of type sint32. Fields that no struct names are
// skipped. We are stricter than criu: what two readers could take for different things is refused (a single field that is there twice, a number that does not fit, one
// that is longer than it has to be).

// errWire is what is wrong with a message.
func errWire(what string) error { return fmt.Errorf("%s: %w", what, fs.ErrInvalid) }

// maxNesting bounds messages in messages.
const maxNesting = 16

// maxRepeated bounds how often a field is there: an empty one takes two bytes, and here a hundred. The most are the mappings of a process, see vm.max_map_count.
const maxRepeated = 1 << 19

// unmarshal reads a message into a pointer to a struct.
func unmarshal(data []byte, to any) error {
	return readMessage(data, reflect.ValueOf(to).Elem(), maxNesting)
}

// wireField is one field as it is on the wire.
type wireField struct {
	number int
	kind   byte   // 0: a number, 2: bytes
	value  uint64 // of kind 0
	bytes  []byte // of kind 2
}

func readMessage(data []byte, to reflect.Value, depth int) error {
	if depth == 0 {
		return errWire("messages are nested too deeply")
	}
	seen := map[int]bool{}
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		place, isZigzag, ok := fieldOf(to, f.number)
		if !ok {
			continue
		}
		if isMany := place.Kind() == reflect.Slice && place.Type().Elem().Kind() != reflect.Uint8; isMany {
			err = appendField(f, place, isZigzag, depth)
		} else if seen[f.number] {
			err = errWire(fmt.Sprintf("field %d is there twice", f.number))
		} else {
			seen[f.number] = true
			err = setField(f, place, isZigzag, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fieldOf finds the field of a struct that has a number.
func fieldOf(to reflect.Value, number int) (place reflect.Value, isZigzag, ok bool) {
	for i := range to.NumField() {
		tag, option, _ := strings.Cut(to.Type().Field(i).Tag.Get("pb"), ",")
		if n, err := strconv.Atoi(tag); err == nil && n == number {
			return to.Field(i), option == "zigzag", true
		}
	}
	return reflect.Value{}, false, false
}

// nextField takes the first field off a message.
func nextField(data []byte) (f wireField, rest []byte, err error) {
	key, data, err := varint(data)
	if err != nil {
		return f, nil, err
	}
	if key>>3 == 0 || key>>3 > 1<<29 {
		return f, nil, errWire("a field has no number")
	}
	f.number, f.kind = int(key>>3), byte(key&7)
	size := uint64(0)
	switch f.kind {
	case 0:
		f.value, rest, err = varint(data)
		return f, rest, err
	case 1:
		size = 8
	case 5:
		size = 4
	case 2:
		if size, data, err = varint(data); err != nil {
			return f, nil, err
		}
	default:
		return f, nil, errWire(fmt.Sprintf("field %d is of the unknown kind %d", f.number, f.kind))
	}
	if size > uint64(len(data)) {
		return f, nil, errWire(fmt.Sprintf("field %d is cut off", f.number))
	}
	f.bytes = data[:size]
	return f, data[size:], nil
}

func varint(data []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, errWire("a number is cut off or too large")
	}
	if n > 1 && data[n-1] == 0 {
		return 0, nil, errWire("a number is longer than it has to be")
	}
	return v, data[n:], nil
}

// appendField adds to a field that may be there many times; numbers may be packed in one.
func appendField(f wireField, place reflect.Value, isZigzag bool, depth int) error {
	if place.Len() >= maxRepeated {
		return errWire(fmt.Sprintf("field %d is there too many times", f.number))
	}
	elem := reflect.New(place.Type().Elem()).Elem()
	isNumber := elem.Kind() != reflect.Struct && elem.Kind() != reflect.Slice && elem.Kind() != reflect.String
	if f.kind == 2 && isNumber {
		for data := f.bytes; len(data) > 0; {
			v, rest, err := varint(data)
			if err != nil {
				return err
			}
			data = rest
			if err := appendField(wireField{number: f.number, value: v}, place, isZigzag, depth); err != nil {
				return err
			}
		}
		return nil
	}
	if err := setField(f, elem, isZigzag, depth); err != nil {
		return err
	}
	place.Set(reflect.Append(place, elem))
	return nil
}

// setField sets a field of a struct.
func setField(f wireField, place reflect.Value, isZigzag bool, depth int) error {
	want := byte(0)
	switch place.Kind() {
	case reflect.Struct, reflect.Slice, reflect.String, reflect.Pointer:
		want = 2
	}
	if place.Kind() == reflect.Pointer && place.Type().Elem().Kind() != reflect.Struct { // a number of which it counts whether it is there
		want = 0
	}
	if f.kind != want {
		return errWire(fmt.Sprintf("field %d is of kind %d, not %d", f.number, f.kind, want))
	}
	switch place.Kind() {
	case reflect.Pointer:
		value := reflect.New(place.Type().Elem())
		place.Set(value)
		return setField(f, value.Elem(), isZigzag, depth)
	case reflect.Struct:
		return readMessage(f.bytes, place, depth-1)
	case reflect.Slice:
		place.SetBytes(append([]byte{}, f.bytes...))
	case reflect.String:
		place.SetString(string(f.bytes))
	case reflect.Bool:
		if f.value > 1 {
			return errWire(fmt.Sprintf("field %d is neither true nor false", f.number))
		}
		place.SetBool(f.value == 1)
	case reflect.Uint64:
		place.SetUint(f.value)
	case reflect.Uint32:
		if f.value > math.MaxUint32 {
			return errWire(fmt.Sprintf("field %d is too large", f.number))
		}
		place.SetUint(f.value)
	case reflect.Int32:
		return setSigned(f, place, isZigzag)
	}
	return nil
}

// setSigned sets a number that may be below zero.
func setSigned(f wireField, place reflect.Value, isZigzag bool) error {
	v := int64(f.value)
	if isZigzag {
		v = int64(f.value>>1) ^ -int64(f.value&1)
	}
	if v < math.MinInt32 || v > math.MaxInt32 {
		return errWire(fmt.Sprintf("field %d is too large", f.number))
	}
	place.SetInt(v)
	return nil
}
