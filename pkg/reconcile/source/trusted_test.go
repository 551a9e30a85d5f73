package source_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile"
	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A file that somebody else may have written is not read, nor one that is reached by way of somebody else's directory.
func TestReadTrusted(t *testing.T) {
	f := open(t)
	path := f.at("c.yaml")
	f.must(os.WriteFile(path, []byte("text"), 0o644))
	reads := func(path, refusal string) {
		t.Helper()
		data, err := source.ReadTrusted(path)
		if refusal == "" && (err != nil || string(data) != "text") || refusal != "" && (err == nil || !strings.Contains(err.Error(), refusal)) {
			t.Errorf("%q, %v, want %q", data, err, refusal)
		}
	}
	reads(path, "")
	f.must(os.Symlink(path, f.at("link")))
	reads(f.at("link"), "")
	f.must(os.Chmod(path, 0o664))
	reads(path, "it can be written by others, mode 0664: permission denied\nhint: chmod go-w "+path)
	f.must(os.Chmod(path, 0o644), os.Mkdir(f.at("open"), 0o755), os.Chmod(f.at("open"), 0o777))
	f.must(os.WriteFile(f.at("open/c.yaml"), []byte("text"), 0o644), os.Symlink(f.at("open/c.yaml"), f.at("there")), os.Symlink(path, f.at("open/back")))
	reads(f.at("open/c.yaml"), f.at("open")+" can be written by others")
	reads(f.at("there"), f.at("open")+" can be written by others")
	reads(f.at("open/back"), f.at("open")+" can be written by others")
	f.must(unix.Mkfifo(f.at("fifo"), 0o644))
	reads(f.at("fifo"), "it is no regular file")
	reads(f.path, "it is no regular file")
	reads(f.at("nothing"), "cannot read "+f.at("nothing")+": no such file or directory")
	if os.Geteuid() == 0 {
		f.must(os.Chown(path, 1234, 0))
		reads(path, "it belongs to user 1234, who is not trusted: permission denied\nhint: chown root "+path)
		if _, err := source.ReadTrusted(path); strings.Contains(err.Error(), "manifest-owner") {
			t.Error(err)
		}
	}
}

// Other options count from the next scan on, for files that did not change as well; what they refuse is a broken edit, what they refused no longer is one.
func TestSetOptions(t *testing.T) {
	f := open(t)
	policy, problems := spec.DecodePolicy("p.yaml", []byte("apiVersion: reconciler/v1alpha1\nkind: NodePolicy\nspec: {rootfs: {allowedPaths: [/etc]}}\n"))
	f.must(problems.Err())
	f.put("web.yaml", "web")
	first := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{f.shows("web")}})
	f.dir.SetOptions(source.Options{Decode: policy.Decode})
	s := f.shows("web.yaml:4:23: spec.rootfs.path: /srv is not in /etc")
	second := reconcile.Admit(reconcile.Request{Snapshots: []reconcile.Snapshot{s}, Incumbents: first.Desired})
	if d := second.Desired["web"]; d == nil || d.Accepted.Reason != reconcile.ReasonPolicyDenied || d.Container.Spec.Rootfs.Path != "/srv" {
		t.Errorf("%+v", d)
	}
	f.dir.SetOptions(source.Options{})
	f.shows("web")
	if os.Geteuid() == 0 {
		f.must(os.Chown(f.at("web.yaml"), 1234, 0))
		f.shows("it belongs to user 1234")
		f.dir.SetOptions(source.Options{Owners: []uint32{1234}})
		f.shows("web")
		f.dir.SetOptions(source.Options{})
		f.shows("it belongs to user 1234")
	}
}
