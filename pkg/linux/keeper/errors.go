package keeper

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// Error is a failure in the keeper, as a client sees it. errors.Is and As work across the socket: it unwraps to the
// errno, to the class of the failure (fs.ErrNotExist, fs.ErrInvalid, errors.ErrUnsupported), and to the step of the
// start program that failed.
type Error struct {
	Text    string         `json:"text"`
	Class   string         `json:"class,omitzero"`
	Errno   syscall.Errno  `json:"errno,omitzero"`
	Program *process.Error `json:"program,omitempty"`
}

func (e *Error) Error() string { return e.Text }

// ErrHeld is why a further process could not start in a container that is paused, or where somebody has stopped it on its way.
var ErrHeld = errors.New("the container holds it")

// classes are the failures a client may ask for.
var classes = map[string]error{
	"not exist":   fs.ErrNotExist,
	"invalid":     fs.ErrInvalid,
	"unsupported": errors.ErrUnsupported,
	"held":        ErrHeld,
}

// Unwrap gives what is known of the cause.
func (e *Error) Unwrap() (causes []error) {
	if e.Program != nil {
		causes = append(causes, e.Program)
	}
	if e.Errno != 0 {
		causes = append(causes, e.Errno)
	}
	if class := classes[e.Class]; class != nil {
		causes = append(causes, class)
	}
	return causes
}

// toError makes what goes over the socket of an error.
func toError(err error) *Error {
	if err == nil {
		return nil
	}
	e := &Error{Text: err.Error()}
	errors.As(err, &e.Program)
	errors.As(err, &e.Errno)
	for name, class := range classes {
		if errors.Is(err, class) {
			e.Class = name
		}
	}
	return e
}
