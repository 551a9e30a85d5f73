package engines

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// containerd is containerd with one runtime, which its shim is told of. Its namespace is a cgroup as well: the parent.
type containerd struct{ runtime, namespace string }

// containerdFiles are what its node has in /etc.
var containerdFiles = map[string]string{"containerd/config.toml": `version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
`}

func (c containerd) argv(args ...string) []string {
	return append([]string{"ctr", "--namespace", c.namespace}, args...)
}

func (c containerd) clear(s *story) {
	s.soon("without tasks", func() bool {
		ids := strings.Fields(s.run("task", "ls", "--quiet"))
		for _, id := range ids {
			s.try("task", "kill", "--signal", "KILL", "--all", id)
			s.try("task", "delete", "--force", id)
		}
		return len(ids) == 0
	})
	for _, id := range strings.Fields(s.run("containers", "ls", "--quiet")) {
		s.run("containers", "delete", id)
	}
}

// task is the command line of a container that runs a script; words are flags.
func (s *story) task(flags, id, script string) []string {
	args := append([]string{"run", "--runc-binary", s.engine.(containerd).runtime, "--snapshotter", "native"}, strings.Fields(flags)...)
	return append(args, "docker.io/library/busybox:1", id, "sh", "-c", script)
}

// ran runs a script in a container that goes with it.
func (s *story) ran(flags, script string) string { return s.run(s.task("--rm "+flags, "r", script)...) }

// begun starts the container c in the background.
func (s *story) begun(flags, script string) { s.run(s.task("--detach "+flags, "c", script)...) }

// entered runs a script in the container c.
func (s *story) entered(flags, script string) string {
	args := append([]string{"task", "exec", "--exec-id", "e"}, strings.Fields(flags)...)
	return s.run(append(args, "c", "sh", "-c", script)...)
}

// status is what containerd says of the container c's task.
func (s *story) status() string {
	for line := range strings.Lines(s.run("task", "ls")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "c" {
			return f[2]
		}
	}
	return ""
}

// daemon starts containerd on a node, until the test ends.
func daemon(t *testing.T, n *node) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("containerd")
	cmd.Stdout, cmd.Stderr = out, out
	n.do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
		if text, _ := os.ReadFile(log); t.Failed() {
			t.Logf("containerd's last words:\n%s", text[max(len(text)-2000, 0):])
		}
	})
	answers := func() (ok bool) {
		n.do(func() {
			r, err := n.command("", "ctr", "version")
			ok = err == nil && r.code == 0
		})
		return ok
	}
	for late := time.Now().Add(patience); !answers(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			text, _ := os.ReadFile(log)
			t.Fatalf("containerd does not answer:\n%s", text)
		}
	}
}

// layout is an image of one layer as an archive in the layout of the OCI image specification.
func layout(t *testing.T, layer []byte) (path string) {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	type object = map[string]any
	blob := func(kind string, content any) object {
		text, is := content.([]byte)
		if !is {
			var err error
			if text, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(text))
		files["blobs/sha256/"+sum] = text
		return object{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + sum, "size": len(text)}
	}
	content := blob("layer.v1.tar", layer)
	config := blob("config.v1+json", object{
		"architecture": runtime.GOARCH, "os": "linux", "config": object{"Env": []string{"PATH=/bin", "FROM=image"}},
		"rootfs": object{"type": "layers", "diff_ids": []any{content["digest"]}},
	})
	manifest := blob("manifest.v1+json", object{"schemaVersion": 2, "config": config, "layers": []any{content}})
	manifest["annotations"] = object{"io.containerd.image.name": "docker.io/library/busybox:1", "org.opencontainers.image.ref.name": "1"}
	manifest["platform"] = object{"architecture": runtime.GOARCH, "os": "linux"}
	text, err := json.Marshal(object{"schemaVersion": 2, "manifests": []any{manifest}})
	if err != nil {
		t.Fatal(err)
	}
	files["index.json"] = text
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContainerd(t *testing.T) {
	tools(t, "containerd", "containerd-shim-runc-v2", "ctr", "busybox")
	binary := ours(t)
	layer, _ := archive(t)
	image := layout(t, layer)
	tellAll(t, binary, containerdFiles, func(t *testing.T, n *node, path string) engine {
		daemon(t, n)
		return containerd{path, n.cgroup}
	}, func(s *story) {
		s.run("image", "import", "--snapshotter", "native", image)
		s.ran("", "true")
	}, slices.Concat(containerdChapters, containerdImages))
}
