package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
)

// Identity is the hash, in hexadecimal, of what an instance cannot change while it lives: the fields of class replace with
// the values of Defaulted. Equal identities need no new instance. A field that a later version adds does not change the
// identity of a container that does not say it, because what is not said is not hashed; names and live fields are not either.
func Identity(c Container, defaultsVersion int) string {
	var d differ
	c = Defaulted(c, defaultsVersion)
	d.compare("", role{}, reflect.Value{}, reflect.ValueOf(c.Spec))
	var said []byte
	for _, change := range d.changes {
		if change.Class == ClassReplace {
			said = append(said, change.Path+"="+change.New+"\n"...)
		}
	}
	hash := sha256.Sum256(said)
	return hex.EncodeToString(hash[:])
}

// Canonical is the manifest as JSON with sorted keys and only what is said: two manifests that ask for the same have
// the same canonical form, however they are written. Decode reads it back.
func Canonical(c Container) []byte {
	data, err := json.Marshal(c)
	if err == nil {
		data, err = sortKeys(data)
	}
	if err != nil {
		panic("spec: a Container is always JSON: " + err.Error())
	}
	return data
}

// sortKeys rewrites JSON with the keys of every object sorted, as encoding/json writes maps; numbers keep their digits.
func sortKeys(data []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}
