package main

import (
	"fmt"
	"strings"
)

// selector is a list of conditions on labels, all of which hold: key=value, key!=value, key, !key.
type selector struct {
	text  string
	terms []labelTerm
}

type labelTerm struct {
	key, value string
	negate     bool
	exists     bool // only whether the key is there counts
}

func (s *selector) String() string { return s.text }
func (s *selector) Type() string   { return "LABELS" }

func (s *selector) Set(text string) error {
	s.text = text
	for part := range strings.SplitSeq(text, ",") {
		t := parseTerm(strings.TrimSpace(part))
		if t.key == "" {
			return fmt.Errorf("%q is none of key=value, key!=value, key, !key", part)
		}
		s.terms = append(s.terms, t)
	}
	return nil
}

func parseTerm(part string) labelTerm {
	if key, value, ok := strings.Cut(part, "!="); ok {
		return labelTerm{key: key, value: value, negate: true}
	}
	if key, value, ok := strings.Cut(part, "="); ok {
		return labelTerm{key: key, value: strings.TrimPrefix(value, "=")}
	}
	key, negate := strings.CutPrefix(part, "!")
	return labelTerm{key: key, negate: negate, exists: true}
}

func (s *selector) matches(labels map[string]string) bool {
	for _, t := range s.terms {
		value, there := labels[t.key]
		holds := there && (t.exists || value == t.value)
		if holds == t.negate {
			return false
		}
	}
	return true
}
