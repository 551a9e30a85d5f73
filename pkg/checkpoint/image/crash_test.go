package image_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func mkfifo(name string) error { return unix.Mkfifo(name, 0o600) }

// stories are what a store is asked for while the disk fails or the process ends. Each begins with the images web/A and db/B.
var stories = map[string]func(*image.Store, []string) error{
	"commit": func(s *image.Store, _ []string) error {
		_, err := take(s, "web")
		return err
	},
	"set": func(s *image.Store, _ []string) error {
		var members []image.Member
		for _, name := range []string{"web", "db", "new"} {
			w, err := s.Begin(name)
			if err == nil {
				members = append(members, image.Member{Writer: w, Facts: spec.Image{Cause: "together"}})
				err = fill(w)
			}
			if err != nil {
				for _, m := range members {
					err = errors.Join(err, m.Abort())
				}
				return err
			}
		}
		_, err := s.CommitSet(context.Background(), "three", members)
		return err
	},
	"remove": func(s *image.Store, refs []string) error { return s.Remove(refs[0]) },
	"pack": func(s *image.Store, refs []string) error {
		_, err := s.Pack(context.Background(), refs[0])
		return err
	},
	"change": func(s *image.Store, refs []string) error {
		_, err := s.Change(refs[0], image.Change{
			Facts: func(i *spec.Image) { i.Kept = true },
			Late:  map[string][]byte{"stats-dump": []byte("stats")},
		})
		return err
	},
}

// may are the outcomes that a story may have: nothing, or everything.
func may(story string, before, after []string) bool {
	added := len(after) - len(before)
	switch story {
	case "commit":
		return added == 0 || added == 1
	case "set":
		return added == 0 || added == 3
	case "remove":
		return added == 0 || added == -1
	}
	return added == 0
}

// TestDiskFails lets each change of the disk fail, one after the other, once and for good: what was there stays, and nothing half-made is shown, now or
// after the next open.
func TestDiskFails(t *testing.T) {
	for story, tell := range stories {
		for _, isLasting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/lasting=%v", story, isLasting), func(t *testing.T) {
				failEach(t, story, tell, isLasting)
			})
		}
	}
}

func failEach(t *testing.T, story string, tell func(*image.Store, []string) error, isLasting bool) {
	for at, isOver := 0, false; !isOver; at++ {
		dir := memoryDir(t)
		before := prepare(t, dir)
		step, failed, isOn := 0, "", false
		s, err := image.OpenTripped(dir, func(name string) error {
			if !isOn {
				return nil
			}
			if step++; step-1 == at || isLasting && step-1 > at {
				failed = name
				return unix.EIO
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		isOn = true
		err = tell(s, before)
		isOn = false
		isOver = failed == ""
		after := list(t, s, "")
		if !may(story, before, after) || err != nil && story != "remove" && !slices.Equal(before, after) {
			t.Errorf("step %d (%s) fails, the error is %v: %v became %v", at, failed, err, before, after)
		}
		if isOver && err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		aftermath(t, dir, story, before, fmt.Sprintf("step %d (%s) fails", at, failed))
	}
}

// memoryDir is a directory in memory where there is one: what is asked for a hundred times need not reach a disk.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "images")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// prepare makes the images that a story begins with.
func prepare(t *testing.T, dir string) (refs []string) {
	t.Helper()
	s := open(t, dir)
	for _, name := range []string{"web", "db"} {
		refs = append(refs, mustTake(t, s, name).Ref())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return refs
}

// aftermath opens the store again: there is nothing or all, every image is whole, and nothing else is left.
func aftermath(t *testing.T, dir, story string, before []string, when string) {
	t.Helper()
	s := open(t, dir)
	defer s.Close()
	if err := s.Swept(); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	after := list(t, s, "")
	if !may(story, before, after) {
		t.Errorf("%s: %v became %v", when, before, after)
	}
	for _, ref := range after {
		if err := verify(t, s, ref); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	for _, name := range tree(t, dir) {
		if parts := strings.Split(name, "/"); len(parts) == 2 && !slices.Contains(after, name) || strings.HasSuffix(name, ".new") {
			t.Errorf("%s: %s is left", when, name)
		}
	}
}

// TestKilled kills the process before each change of the disk.
func TestKilled(t *testing.T) {
	for story := range stories {
		t.Run(story, func(t *testing.T) {
			for at, isOver := 0, false; !isOver; at++ {
				dir := memoryDir(t)
				before := prepare(t, dir)
				child := exec.Command("/proc/self/exe", "-test.run=^TestKilledChild$")
				child.Env = append(os.Environ(), "STORE="+dir, "STORY="+story, "REFS="+strings.Join(before, " "), "AT="+strconv.Itoa(at))
				out, err := child.CombinedOutput()
				isOver = err == nil
				if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !isOver && (!ok || !status.Signaled()) {
					t.Fatalf("the child failed: %v\n%s", err, out)
				}
				aftermath(t, dir, story, before, fmt.Sprintf("killed at step %d", at))
			}
		})
	}
}

func TestKilledChild(t *testing.T) {
	dir := os.Getenv("STORE")
	if dir == "" {
		t.Skip("skip: it is the child of TestKilled")
	}
	at, err := strconv.Atoi(os.Getenv("AT"))
	if err != nil {
		t.Fatal(err)
	}
	step, isOn := 0, false
	s, err := image.OpenTripped(dir, func(string) error {
		if isOn {
			if step++; step-1 == at {
				_ = unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	isOn = true
	if err := stories[os.Getenv("STORY")](s, strings.Fields(os.Getenv("REFS"))); err != nil {
		t.Fatal(err)
	}
	isOn = false
}

// TestFullDisk commits on a disk of every size from nothing to enough.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skip: needs root")
	}
	for story, tell := range stories {
		if story == "remove" {
			continue
		}
		t.Run(story, func(t *testing.T) {
			for spare := 0; ; spare += 300 << 10 {
				if isOver := onFullDisk(t, spare, story, tell); isOver {
					break
				}
			}
		})
	}
}

func onFullDisk(t *testing.T, spare int, story string, tell func(*image.Store, []string) error) (isOver bool) {
	mount := t.TempDir()
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%d", 5<<20+spare)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(mount, "images")
	before := prepare(t, dir)
	s := open(t, dir)
	err := tell(s, before)
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Errorf("with %d bytes to spare: %v", spare, err)
	}
	if after := list(t, s, ""); err != nil && !slices.Equal(before, after) {
		t.Errorf("with %d bytes to spare: %v became %v", spare, before, after)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	aftermath(t, dir, story, before, fmt.Sprintf("with %d bytes to spare", spare))
	return err == nil
}
