package main

import (
	"bytes"
	"fmt"
	"strings"
)

// detachKeys are the keys, one after the other, that leave a container. A flag: ctrl-p,ctrl-q.
type detachKeys struct {
	text string
	keys []byte
	held []byte // keys pressed that may be the beginning
}

func (d *detachKeys) String() string { return d.text }
func (d *detachKeys) Type() string   { return "KEYS" }

// Set reads keys, each a character or ctrl- and a letter or one of @ [ \ ] ^ _.
func (d *detachKeys) Set(text string) error {
	var keys []byte
	for word := range strings.SplitSeq(text, ",") {
		key, ok := keyOf(word)
		if !ok {
			return fmt.Errorf("want keys such as ctrl-p,ctrl-q, not %q", word)
		}
		keys = append(keys, key)
	}
	d.text, d.keys = text, keys
	return nil
}

func keyOf(word string) (byte, bool) {
	letter, ctrl := strings.CutPrefix(strings.ToLower(word), "ctrl-")
	switch {
	case ctrl && len(letter) == 1 && strings.ContainsAny(letter, `abcdefghijklmnopqrstuvwxyz@[\]^_`):
		return strings.ToUpper(letter)[0] & 0x1f, true // as terminals send it
	case !ctrl && len(word) == 1 && word[0] > ' ' && word[0] < 0x7f:
		return word[0], true
	}
	return 0, false
}

// pass gives what of the input goes to the container, and tells whether the keys to leave were pressed. What may be their beginning
// is held back until the next key.
func (d *detachKeys) pass(in []byte) (out []byte, leave bool) {
	for _, key := range in {
		d.held = append(d.held, key)
		for !bytes.HasPrefix(d.keys, d.held) {
			out = append(out, d.held[0])
			d.held = d.held[1:]
		}
		if len(d.held) == len(d.keys) {
			return out, true
		}
	}
	return out, false
}
