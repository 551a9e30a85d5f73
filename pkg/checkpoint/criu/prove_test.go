package criu_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/checkpoint-restore/go-criu/v8/rpc"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
)

// A criu that works here is proven, with nothing left of it.
func TestProve(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	tool.Path = alias(t, tool.Path)
	before := mounts(t)
	foreign, err := unix.Open("/", unix.O_RDONLY, 0) // one that goes into programs
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(foreign)
	p := criu.Prove(t.Context(), tool)
	for _, a := range []criu.Ability{criu.Checkpoint, criu.TCP, criu.UserNamespace} {
		if err := p.Check(a); err != nil {
			t.Error(err)
		}
	}
	if p.Lock == "" || p.Took <= 0 || p.Kernel == "" || p.Size <= 0 {
		t.Errorf("the proof is not whole: %+v", p)
	}
	if after := mounts(t); after != before {
		t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
	}
	nobody(t, tool.Path)
	t.Logf("proven in %v, lacking %v", p.Took, p.Lacks)
}

// Whoever proves may be killed at any time: what it started ends with it.
func TestProveKilled(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	tool.Path = alias(t, tool.Path)
	took := criu.Prove(t.Context(), tool).Took
	const points = 12
	for point := range points {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), prover+"="+tool.Path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(point) / points)
		cmd.Process.Kill()
		cmd.Wait()
		nobody(t, tool.Path)
	}
}

// The end of the context ends a trial, of a criu that says nothing too.
func TestProveAHungCriu(t *testing.T) {
	kerneltest.Root(t)
	path := script(t, "exec sleep 1000")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	p := criu.Prove(ctx, criu.Tool{Path: path})
	if err := p.Check(criu.Checkpoint); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "deadline exceeded") {
		t.Errorf("a hung criu: %v", err)
	}
	nobody(t, path)
}

// A criu that is none, that dies, or that says it has done what it has not, is found out.
func TestProveFindsOut(t *testing.T) {
	kerneltest.Root(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"no program": {t.TempDir() + "/criu", "cannot find criu"},
		"dies":       {script(t, "exit 3"), "it has ended"},
		"lies":       {script(t, liar+"=1 exec "+self+` "$@"`), "the restored process is not as it was: open /proc/99999/mem"},
	} {
		t.Run(name, func(t *testing.T) {
			p := criu.Prove(t.Context(), criu.Tool{Path: test.path})
			for _, a := range criu.Abilities {
				if err := p.Check(a.Ability); !errors.Is(err, errors.ErrUnsupported) || a.Ability == criu.Checkpoint && !strings.Contains(err.Error(), test.want) {
					if name == "lies" && (a.Ability == criu.Lazy || a.Ability == criu.PreCopy) {
						continue // these are questions
					}
					t.Errorf("%s: %v\nwant %s", a.Ability, err, test.want)
				}
			}
			nobody(t, test.path)
		})
	}
}

// A proof holds for one program on one kernel, and as long as nothing is missing that could be mended.
func TestRecall(t *testing.T) {
	tool := kerneltest.Criu(t).Tool
	self := script(t, "exec "+tool.Path+` "$@"`)
	tool.Path = self
	file := filepath.Join(t.TempDir(), "criu.json")
	first, err := criu.Recall(t.Context(), tool, file, nil)
	if err != nil || first.Check(criu.Checkpoint) != nil {
		t.Fatalf("Recall: %+v, %v", first, err)
	}
	const mark = 12345 * time.Hour // nothing takes that long: a proof that says so was read
	for name, test := range map[string]struct {
		change func(p *criu.Proof)
		read   bool
	}{
		"nothing":           {func(*criu.Proof) {}, true},
		"kernel":            {func(p *criu.Proof) { p.Kernel = "5.4.0 #1" }, false},
		"program":           {func(p *criu.Proof) { p.Modified = p.Modified.Add(-time.Second) }, false},
		"version":           {func(p *criu.Proof) { p.Tool.Version = "3.17.1" }, false},
		"trial":             {func(p *criu.Proof) { p.Trial = 0 }, false},
		"lacked TCP":        {func(p *criu.Proof) { p.Lacks = map[criu.Ability]string{criu.TCP: "no nft"} }, false},
		"lacked dirty bits": {func(p *criu.Proof) { p.Lacks = map[criu.Ability]string{criu.PreCopy: "no kernel"} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := first
			p.Took = mark
			test.change(&p)
			data, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, string(data))
			got, err := criu.Recall(t.Context(), tool, file, nil)
			if err != nil || (got.Took == mark) != test.read {
				t.Errorf("Recall: %+v, %v", got, err)
			}
		})
	}
	write(t, file, `{"tool": {"path"`)
	if got, err := criu.Recall(t.Context(), tool, file, nil); err != nil || got.Check(criu.Checkpoint) != nil {
		t.Errorf("of a torn file: %+v, %v", got, err)
	}
	if got, err := criu.Recall(t.Context(), tool, t.TempDir()+"/none/criu.json", nil); err == nil || got.Check(criu.Checkpoint) != nil {
		t.Errorf("without a place to keep it: %+v, %v", got, err)
	}
	if err := (criu.Proof{}).Check(criu.Checkpoint); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("nobody has tried: %v", err)
	}
}

// The variables that make this program one that proves a criu, and a criu that lies.
const (
	prover = "RECONCILER_TEST_PROVER"
	liar   = "RECONCILER_TEST_LIAR"
)

// lie is a criu that reports success of everything. It kills what it is to dump, and restores nobody.
func lie() {
	for {
		buf := make([]byte, 1<<16)
		n, err := unix.Read(3, buf)
		req := &rpc.CriuReq{}
		if err != nil || n == 0 || req.UnmarshalVT(buf[:n]) != nil {
			return
		}
		if req.GetType() == rpc.CriuReqType_DUMP {
			unix.Kill(int(req.GetOpts().GetPid()), unix.SIGKILL)
		}
		data, err := (&rpc.CriuResp{
			Type: req.Type, Success: new(true),
			Features: &rpc.CriuFeatures{MemTrack: new(true), LazyPages: new(true)},
			Restore:  &rpc.CriuRestoreResp{Pid: new(int32(99999))},
		}).MarshalVT()
		if err == nil {
			unix.Write(3, data)
		}
	}
}

// script makes a program of a line of shell.
func script(t *testing.T, line string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "criu")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// alias gives a program a name that no other test's processes have.
func alias(t *testing.T, program string) string {
	t.Helper()
	return script(t, "exec "+program+` "$@" # `+t.Name())
}

// nobody fails the test when a process with the path in its arguments is left.
func nobody(t *testing.T, path string) {
	t.Helper()
	var left []string
	for end := time.Now().Add(kerneltest.Patient(5 * time.Second)); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if left = running(path); left == nil {
			return
		}
	}
	t.Errorf("left: %q", left)
}

func running(path string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), path) {
			found = append(found, fmt.Sprintf("%s: %s", file, strings.ReplaceAll(string(data), "\x00", " ")))
		}
	}
	return found
}

func mounts(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
