package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/linux"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Checkpoint takes an image; see reconcile.Node.
func (n *Node) Checkpoint(ctx context.Context, name string, instance uint64, o spec.CheckpointOptions) (_ spec.Image, err error) {
	defer func() { err = about("checkpoint", name, err) }()
	tool, err := n.criu(ctx)
	if err != nil {
		return spec.Image{}, err
	}
	company, err := n.Company(name, instance)
	if err != nil {
		return spec.Image{}, err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	done, err := n.still.hold(company, end)
	if err != nil {
		return spec.Image{}, err
	}
	defer done()
	s := &saving{node: n, tool: tool, options: o, began: time.Now(), all: make(chan struct{})}
	defer s.close()
	for _, in := range company {
		if err := s.add(ctx, in); err != nil {
			return spec.Image{}, about("take an image of", in.Name, err)
		}
	}
	if err := s.start(ctx); err != nil {
		return spec.Image{}, err
	}
	images, err := s.save(ctx)
	if err != nil {
		return spec.Image{}, err
	}
	s.close()
	done() // the containers go on: packing takes its time
	for i, img := range images {
		images[i] = n.tidy(ctx, img)
	}
	return images[0], nil
}

// saving is one or several containers that images are being taken of at one moment: of all or of none.
type saving struct {
	node    *Node
	tool    criu.Tool
	options spec.CheckpointOptions
	began   time.Time
	stood   time.Time // since when all of a group stand still
	members []*member

	mu      sync.Mutex
	waiting int           // how many are complete and stand still
	all     chan struct{} // closed when all are, or one has failed
	failed  error         // then
	isFinal atomic.Bool   // images are committed that the runs end with
	images  []spec.Image  // those that were committed
}

// add looks at a container and makes room for its image.
func (s *saving) add(ctx context.Context, in spec.Instance) (err error) {
	m := &member{s: s, policy: in.Spec.Spec.Checkpoint}
	s.members = append(s.members, m)
	if err := s.node.Filled(ctx, in.Name, in.ID, fillPatience); err != nil {
		return err
	}
	if m.dump, err = s.node.OpenDump(ctx, in.Name, in.ID); err != nil {
		return err
	}
	if m.work, err = s.node.WorkDir(in.Name, in.ID); err != nil {
		return err
	}
	m.writer, err = s.node.images.Begin(in.Name)
	return err
}

// start copies memory beforehand where that is asked for, and starts a criu for each.
func (s *saving) start(ctx context.Context) error {
	for _, m := range s.members {
		if err := m.preCopy(ctx); err != nil {
			return about("take an image of", m.dump.Instance.Name, err)
		}
	}
	var dumps []*linux.Dump
	for _, m := range s.members {
		dumps = append(dumps, m.dump)
	}
	for _, m := range s.members {
		err := m.look()
		if err != nil {
			return err
		}
		if m.conn, m.dumper, err = m.tool(ctx, dumps...); err != nil {
			return err
		}
	}
	return nil
}

func (s *saving) close() {
	for _, m := range s.members {
		if m.conn != nil {
			_ = m.conn.Close()
		}
		if m.dumper != nil {
			_ = m.dumper.Close()
		}
		if m.writer != nil {
			_ = m.writer.Abort()
		}
		if m.work != nil {
			_ = m.work.Close()
		}
		if m.dump != nil {
			m.dump.Close()
		}
	}
	s.members = nil
}

// save takes the images.
func (s *saving) save(ctx context.Context) ([]spec.Image, error) {
	ctx, cancel, stop := s.recallable(ctx)
	defer stop()
	thaw := func(context.Context) error { return nil }
	if len(s.members) > 1 {
		var dumps []*linux.Dump
		for _, m := range s.members {
			dumps = append(dumps, m.dump)
		}
		var err error
		s.stood = time.Now()
		if thaw, err = linux.FreezeTogether(ctx, dumps); err != nil {
			return nil, err
		}
	}
	errs := make([]error, len(s.members))
	var work sync.WaitGroup
	for i, m := range s.members {
		work.Go(func() {
			if errs[i] = m.save(ctx, cancel); errs[i] != nil {
				s.giveUp(errs[i])
			}
		})
	}
	work.Wait()
	err := errors.Join(errs...)
	if !s.options.Stop || err != nil {
		err = errors.Join(err, thaw(context.WithoutCancel(ctx)))
	}
	if err != nil && s.takeBack(context.WithoutCancel(ctx), &err) {
		return nil, errors.Join(err, s.unlock(context.WithoutCancel(ctx)))
	}
	if s.options.Stop {
		s.complete()
		return s.images, nil
	}
	for _, m := range s.members {
		for name, text := range m.late() {
			if err := m.write(name, func(f *os.File) error { _, err := f.Write(text); return err }); err != nil {
				return nil, err
			}
		}
	}
	return s.images, s.commit(ctx)
}

// recallable is a context that ends with another one, or by cancel, until images are committed that runs end with: from then on all of a group have to agree.
func (s *saving) recallable(parent context.Context) (ctx context.Context, cancel func(cause error), stop func()) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(parent))
	cancel = func(cause error) {
		if !s.isFinal.Load() {
			end(cause)
		}
	}
	forget := context.AfterFunc(parent, func() { cancel(context.Cause(parent)) })
	return ctx, cancel, func() {
		forget()
		end(nil)
	}
}

// complete adds to images that were committed what was known only when their runs had ended. It is of no use for a restore.
func (s *saving) complete() {
	for i, m := range s.members {
		facts := m.facts()
		img, err := s.node.images.Change(s.images[i].Ref(), image.Change{
			Facts: func(img *spec.Image) { img.Frozen, img.Took = facts.Frozen, facts.Took }, Late: m.late(),
		})
		if err != nil {
			s.node.cfg.Log.Error(err, "image lacks statistics", "image", s.images[i].Ref())
			continue
		}
		s.images[i] = img
	}
}

// unlock lets packets in again that a criu keeps out which is no more, and connections go on that it has left in repair. Who runs on would hear nothing for ever.
func (s *saving) unlock(ctx context.Context) (err error) {
	for _, m := range s.members {
		if in := m.dump.Instance; !m.open {
			err = errors.Join(err, m.dump.EndRepair(), s.node.Unlock(ctx, in.Name, in.Spec.Spec.Group))
		}
	}
	return err
}

// takeBack says of images that were committed and whose processes run on after all that no run ended with them. It tells whether there may be one such: criu may have
// ended all of them before it heard that nobody wants it any more.
func (s *saving) takeBack(ctx context.Context, err *error) (isBack bool) {
	for _, m := range s.members {
		*err = errors.Join(*err, m.dumper.Close())
	}
	if len(s.images) == 0 {
		return true
	}
	for _, img := range s.images {
		lives, unknown := s.node.LivesOn(ctx, img.Container, img.Instance)
		if lives {
			unknown = s.node.images.Remove(img.Ref())
		}
		isBack = isBack || lives || unknown != nil
		*err = errors.Join(*err, unknown)
	}
	return isBack
}

// giveUp lets nobody wait for one that has failed.
func (s *saving) giveUp(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.all:
	default:
		s.failed = fmt.Errorf("another container of its group cannot be saved: %w", err)
		close(s.all)
	}
}

// commit makes images of what was written.
func (s *saving) commit(ctx context.Context) (err error) {
	if len(s.members) == 1 {
		m := s.members[0]
		img, err := m.writer.Commit(ctx, m.facts())
		s.images = []spec.Image{img}
		if err != nil {
			s.images = nil
		}
		return err
	}
	var members []image.Member
	for _, m := range s.members {
		members = append(members, image.Member{Writer: m.writer, Facts: m.facts()})
	}
	s.images, err = s.node.images.CommitSet(ctx, strings.ToLower(rand.Text()), members)
	return err
}
