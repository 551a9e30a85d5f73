package meter

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/metric"
	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Agent is what is asked of the loop.
type Agent interface {
	// Objects are all containers, by name.
	Objects() ([]spec.Object, uint64)
	// Activity is what the loop is about now.
	Activity() reconcile.Activity
}

// Node is what is asked of the machine.
type Node interface {
	// Stats is what an instance uses and has used.
	Stats(ctx context.Context, name string, instance uint64) (spec.Stats, error)
	// Keeper asks the keeper who it is, and how many bytes of output it could not write.
	Keeper(ctx context.Context) (pid int, dropped int64, err error)
}

// Journal is where output of containers goes.
type Journal interface {
	// Dropped is how many bytes did not reach it.
	Dropped() int64
}

// Config is what a Handler shows.
type Config struct {
	Meter *Meter
	Agent Agent
	Node  Node
	// Journal may be nil.
	Journal Journal
	// Containers is how many have figures of their own; the others are added up under the name Others. 0 is none.
	Containers int
	// Version and Revision are the program's.
	Version, Revision string
}

// Others is the value of the label name for the containers that have no figures of their own. No container can be called so.
const Others = "_other"

// Handler answers GET with all figures. Make one with NewHandler.
type Handler struct {
	Config
	one    chan struct{} // holds one while somebody scrapes: each scrape reads much of /sys
	boot   time.Time
	budget budget
	size   int // that the next text may have
}

// NewHandler makes a handler.
func NewHandler(c Config) *Handler {
	return &Handler{Config: c, one: make(chan struct{}, 1), boot: bootTime(), budget: newBudget(c.Containers)}
}

// The time that parts of a scrape may take: a keeper that does not answer is down, a reader that does not read is cut.
const (
	keeperTimeout = time.Second
	writeTimeout  = 30 * time.Second
)

// ServeHTTP answers one scrape.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text := h.Scrape(r.Context()).Bytes
	if r.Context().Err() != nil {
		return // who has left does not wait for those before
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.Header().Set("Content-Type", metric.ContentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // who has left is nobody to tell
}

// Scrape is all figures as they are now. It waits for the scrapes before it, and is empty when ctx ends meanwhile.
func (h *Handler) Scrape(ctx context.Context) metric.Text {
	select {
	case h.one <- struct{}{}:
		defer func() { <-h.one }()
	case <-ctx.Done():
		return metric.Text{}
	}
	s := h.look(ctx)
	s.Bytes = make([]byte, 0, h.size)
	s.write()
	h.budget.write(&s.Text)
	h.size = len(s.Bytes) + len(s.Bytes)/8
	return s.Text
}

// scrape is how things stand at one moment, and the text about it.
type scrape struct {
	*Handler
	metric.Text
	activity        reconcile.Activity
	objects         []spec.Object
	agent, keeper   process
	answered        time.Duration // by the keeper
	dropped         int64         // by the keeper, of output
	spent           time.Duration // on the statistics of containers
	alone, together int
}

// look asks everybody once.
func (h *Handler) look(ctx context.Context) *scrape {
	s := &scrape{Handler: h, activity: h.Agent.Activity(), agent: h.processOf(os.Getpid())}
	s.objects, _ = h.Agent.Objects()
	s.ask(ctx)
	began := time.Now()
	h.budget.begin(s.objects)
	for i := range s.objects {
		o := &s.objects[i]
		f := figuresOf(o, h.statsOf(ctx, o))
		h.budget.add(o.Metadata.Name, &f)
	}
	s.alone, s.together = h.budget.end()
	s.spent = time.Since(began)
	return s
}

// statsOf is what a container uses, as far as that is known.
func (h *Handler) statsOf(ctx context.Context, o *spec.Object) spec.Stats {
	instance := o.Status.Container.Instance
	if instance == 0 || ctx.Err() != nil {
		return spec.Stats{}
	}
	stats, err := h.Node.Stats(ctx, o.Metadata.Name, instance)
	if err == nil {
		return stats
	}
	if !errors.Is(err, fs.ErrNotExist) { // it went meanwhile
		h.Meter.lost.Add(1)
	}
	return spec.Stats{}
}

// ask has the keeper answer, or finds out that it does not.
func (s *scrape) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, keeperTimeout)
	defer cancel()
	began := time.Now()
	pid, dropped, err := s.Node.Keeper(ctx)
	if s.answered = time.Since(began); err == nil {
		s.keeper, s.dropped = s.processOf(pid), dropped
	}
}
