package reconcile

import "fmt"

// refusal is an error of a kind, such as fs.ErrNotExist, without the kind's own text: that speaks of files.
type refusal struct {
	kind error
	text string
}

func refuse(kind error, format string, args ...any) error {
	return refusal{kind, fmt.Sprintf(format, args...)}
}

func (r refusal) Error() string { return r.text }

func (r refusal) Unwrap() error { return r.kind }
