package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/seed31d4122e/reconciler/pkg/api/audit"
)

// What one caller may cost.
const (
	maxBody        = 1 << 20
	maxHeader      = 16 << 10
	maxConnections = 512
	maxStrangers   = 16  // connections of those without a role, who are told so
	maxStreams     = 256 // watches, followed logs and sessions at one time; other requests still get through
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // reading a request, and answering one that is no stream
	writeTimeout   = 30 * time.Second // each piece of a stream
	longTimeout    = 24 * time.Hour   // an answer that may take as long as an image does
	idleTimeout    = 2 * time.Minute
	maxTransfers   = 4       // archives on their way at one time: each keeps disk and processor busy
	pacePiece      = 1 << 20 // of an archive must come within each paceTimeout that is spent waiting for it
	paceTimeout    = 30 * time.Second
	bookmarkEvery  = 30 * time.Second // finds readers that are gone, and keeps versions fresh
)

// Config is what a Server serves.
type Config struct {
	Agent   Agent
	Logs    Logs
	Node    Node
	Images  Images // nil: none can be looked at or carried away
	Version string
	Log     logr.Logger
	// Grants say who may do what, until SetGrants.
	Grants Grants
	// Configuration is what the agent runs with; nil: nothing is said of it.
	Configuration func() Configuration
	// Reload reads it and all manifests anew. That it is refused is no error, but said by Configuration. nil: it cannot be read anew.
	Reload func(context.Context) error
	// Audit writes down what was asked for; nil: nothing.
	Audit *audit.Log
	// Answered is told of each request when its answer begins; nil: nobody.
	Answered func(role string, status int, took time.Duration)
	// Mounts are further handlers beside /v1.
	Mounts []Mount
	// MaxImport is how many bytes an archive may have that is imported. Default: DefaultMaxImport.
	MaxImport int64
}

// Mount is a handler at a pattern of http.ServeMux, such as GET /metrics, for those with a role. Its answers may take as long as they like:
// it sets the deadlines that it wants. Requests but GET are written down.
type Mount struct {
	Pattern string
	Role    Role
	Handler http.Handler
}

// DefaultMaxImport bounds an import by more than a node has memory: what bounds it before is the disk.
const DefaultMaxImport = 1 << 40

// Server answers requests. Make one with New.
type Server struct {
	Config
	id      string // identifies this life of the agent
	started time.Time
	count   atomic.Uint64 // of requests
	encoded encoded
	grants  atomic.Pointer[Grants]
	asked   asked           // what may have to end with other grants
	streams slots           // one per stream, session or long answer
	moving  slots           // one per archive on its way
	life    context.Context // ends with the server, so that streams leave
	end     context.CancelFunc
}

// New makes a server that does nothing until Serve.
func New(config Config) *Server {
	life, end := context.WithCancel(context.Background())
	config.MaxImport = cmp.Or(config.MaxImport, DefaultMaxImport)
	if config.Images == nil {
		config.Images = noImages{}
	}
	s := &Server{
		Config:  config,
		id:      rand.Text(),
		started: time.Now(),
		encoded: encoded{byVersion: map[uint64]json.RawMessage{}},
		asked:   asked{of: map[*underWay]bool{}},
		streams: newSlots(maxStreams),
		moving:  newSlots(maxTransfers),
		life:    life,
		end:     end,
	}
	s.SetGrants(config.Grants)
	return s
}

// Handler answers requests whose context says who calls, see WithPeer. Streams and sessions end with Serve.
func (s *Server) Handler() http.Handler {
	next := s.counted(checkPeer(s.routes()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(requestID, s.id[:8]+"-"+strconv.FormatUint(s.count.Add(1), 10))
		next.ServeHTTP(w, s.judgedAnew(r))
	})
}

// Serve answers requests on the listener until ctx ends, then gives running ones a second and ends all sessions. It may be called once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ConnContext:       connPeer,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          ErrorLog(s.Log),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.end()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.Serve(limitListener(listener, s.judge))
	defer s.drain()
	if stop() {
		return fmt.Errorf("cannot serve the API: %w", err)
	}
	<-ended
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the API: %w", err)
	}
	return nil
}

// drain waits until all streams and sessions, whose connections the HTTP server does not know any more, have ended. It lets no new one in.
func (s *Server) drain() {
	s.end()
	for range cap(s.streams.all) {
		s.streams.all <- struct{}{}
	}
}

// ErrorLog is where a http.Server logs for an API.
func ErrorLog(l logr.Logger) *log.Logger { return log.New(logWriter{l}, "", 0) }

// logWriter takes what net/http logs: panics of handlers, which are ours to mend.
type logWriter struct{ logr.Logger }

func (l logWriter) Write(text []byte) (int, error) {
	l.Error(errors.New(strings.TrimSpace(string(text))), "API failed")
	return len(text), nil
}

func (s *Server) version(*http.Request) (any, error) {
	node, _ := os.Hostname() // nobody knows: it has none
	return Version{
		Version: s.Version, API: APIVersion, Agent: s.id,
		Pid: os.Getpid(), StartedAt: s.started, Go: runtime.Version(), Node: node,
	}, nil
}
