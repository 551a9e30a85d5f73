package api

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Error is why a request failed: a stable reason for programs, a message and perhaps a hint for people.
type Error struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"`
	// Text is one action that helps.
	Text string `json:"hint,omitzero"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Hint is one action that helps, or "".
func (e *Error) Hint() string { return e.Text }

// Is tells whether target means the same: fs.ErrNotExist for NotFound, and so on by the table of reasons.
func (e *Error) Is(target error) bool { return slices.Contains(reasons[e.Reason].is, target) }

// Reason is one stable word for programs.
type Reason string

// The reasons of a failed request.
const (
	ReasonInvalid     Reason = "Invalid"
	ReasonForbidden   Reason = "Forbidden"
	ReasonNotFound    Reason = "NotFound"
	ReasonConflict    Reason = "Conflict"
	ReasonNotRunning  Reason = "NotRunning" // a conflict, too
	ReasonInUse       Reason = "InUse"      // a conflict, too
	ReasonExpired     Reason = "Expired"
	ReasonTooLarge    Reason = "TooLarge"
	ReasonBusy        Reason = "Busy"
	ReasonTimeout     Reason = "Timeout"
	ReasonUnsupported Reason = "Unsupported"
	ReasonInternal    Reason = "Internal"

	// The command of an exec could not be executed; all else went well.
	ReasonCommandNotFound      Reason = "CommandNotFound"
	ReasonCommandNotExecutable Reason = "CommandNotExecutable"
)

// Errors that callers may ask for, beside those of package fs.
var (
	// ErrExpired tells that a watch cannot go on from a resource version: list again.
	ErrExpired = reconcile.ErrExpired
	// ErrConflict tells that the state of things does not allow the request.
	ErrConflict = errors.New("conflict")
)

// reasons gives each its status, and the errors that it is: the first makes it, see asError.
var reasons = map[Reason]struct {
	status int
	is     []error
}{
	ReasonInvalid:     {http.StatusBadRequest, []error{fs.ErrInvalid}},
	ReasonForbidden:   {http.StatusForbidden, []error{fs.ErrPermission}},
	ReasonNotFound:    {http.StatusNotFound, []error{fs.ErrNotExist}},
	ReasonConflict:    {http.StatusConflict, []error{ErrConflict}},
	ReasonNotRunning:  {http.StatusConflict, []error{spec.ErrNotRunning, ErrConflict}},
	ReasonInUse:       {http.StatusConflict, []error{spec.ErrBusy, ErrConflict}},
	ReasonExpired:     {http.StatusGone, []error{ErrExpired}},
	ReasonTooLarge:    {http.StatusRequestEntityTooLarge, nil},
	ReasonBusy:        {http.StatusServiceUnavailable, nil},
	ReasonTimeout:     {http.StatusGatewayTimeout, []error{context.DeadlineExceeded}},
	ReasonUnsupported: {http.StatusNotImplemented, []error{errors.ErrUnsupported}},
	ReasonInternal:    {http.StatusInternalServerError, nil},

	ReasonCommandNotFound:      {http.StatusUnprocessableEntity, []error{spec.ErrCommandNotFound}},
	ReasonCommandNotExecutable: {http.StatusUnprocessableEntity, []error{spec.ErrCommandNotExecutable}},
}

// asError gives any error its reason.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	e := &Error{Reason: ReasonInternal, Message: message, Text: hint}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge != nil {
		e.Reason = ReasonTooLarge
	}
	for reason, row := range reasons {
		if len(row.is) > 0 && errors.Is(err, row.is[0]) {
			e.Reason = reason
		}
	}
	return e
}

// Failure is the body of a request that failed, and the last line of a stream that the agent cuts.
type Failure struct {
	Error *Error `json:"error"`
}

// WriteError answers with an error as the API does, for the handler of a Mount.
func WriteError(w http.ResponseWriter, err error) { writeError(w, err) }

func writeError(w http.ResponseWriter, err error) {
	e := asError(err)
	if o, ok := w.(*outcome); ok {
		o.record.Reason, o.record.Message = string(e.Reason), e.Message
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	writeJSON(w, reasons[e.Reason].status, Failure{e})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	if text, ok := v.(ready); ok {
		_, _ = w.Write(text)
		return
	}
	_ = json.NewEncoder(w).Encode(v) // the caller has left: nobody to tell
}

// DecodeError reads the error body of a failed response.
func DecodeError(status int, body []byte) *Error {
	var b Failure
	if err := json.Unmarshal(body, &b); err != nil || b.Error == nil {
		return &Error{Reason: ReasonInternal, Message: http.StatusText(status) + " without a reason"}
	}
	return b.Error
}
