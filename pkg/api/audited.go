package api

import (
	"context"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/api/audit"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// requestID is the header that names a request in the answer and in the audit log.
const requestID = "Request-Id"

type recordKey struct{}

// audited writes down what comes of a request that changes something.
func (s *Server) audited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := callerOf(r)
		record := &audit.Record{
			Time: time.Now().UTC(), ID: w.Header().Get(requestID), UID: peer.UID, GID: peer.GID, Pid: peer.Pid, Comm: comm(peer.Pid), Role: peer.Role.String(),
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		}
		r = r.WithContext(context.WithValue(r.Context(), recordKey{}, record))
		defer s.conclude(record)
		next.ServeHTTP(&outcome{w, record}, r)
	})
}

// conclude writes a record down once: sessions do when they begin, all else when it is answered.
func (s *Server) conclude(record *audit.Record) {
	if record == nil || record.Took != "" {
		return
	}
	record.Took = time.Since(record.Time).Round(time.Microsecond).String()
	s.Audit.Add(*record)
}

// recordOf is the record of a request, nil of one that changes nothing.
func recordOf(ctx context.Context) *audit.Record {
	record, _ := ctx.Value(recordKey{}).(*audit.Record)
	return record
}

// outcome is a response that notes what it is.
type outcome struct {
	http.ResponseWriter
	record *audit.Record
}

// WriteHeader notes the status.
func (o *outcome) WriteHeader(status int) {
	o.record.Status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// comm is what a process calls itself; "" when it is gone.
func comm(pid int32) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/comm")
	return strings.TrimSuffix(string(text), "\n")
}

// withoutSecrets is the body of a request as it may be written down: the values of variables are left out.
func withoutSecrets(body any) any {
	e, ok := body.(*spec.Exec)
	if !ok || len(e.Env) == 0 {
		return body
	}
	plain := *e
	plain.Env = maps.Clone(e.Env)
	for name := range plain.Env {
		plain.Env[name] = "..."
	}
	return plain
}
