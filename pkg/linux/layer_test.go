package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// remember counts in a file of the layer how often it was started.
const remember = `echo x >> /count; echo "count $(wc -l < /count)"`

// What a container wrote lives as long as its layer: a start, an instance or the name.
func TestLayerLives(t *testing.T) {
	n := open(t)
	for _, medium := range []spec.Medium{spec.MediumMemory, spec.MediumDisk} {
		for _, test := range []struct {
			life spec.Life
			want string // the counts of two starts, of a successor's start, and of one after the name was gone
		}{
			{spec.LifeStart, "1 1 1 1"}, {spec.LifeInstance, "1 2 1 1"}, {spec.LifeName, "1 2 3 1"},
		} {
			t.Run(string(medium)+string(test.life), func(t *testing.T) {
				name := strings.ToLower(string(medium) + string(test.life))
				c := n.writable(name, remember, spec.Writable{Medium: medium, Life: test.life})
				var counts []string
				start := func(id uint64) {
					before := n.output(t, name)
					must(t, n.Start(t.Context(), name, id))
					n.await(t, name, id, exited)
					said := strings.TrimPrefix(n.output(t, name), before)
					counts = append(counts, strings.TrimPrefix(strings.TrimSpace(said), "count "))
				}
				must(t, n.Create(t.Context(), c, 1, spec.DefaultsVersion))
				start(1)
				n.reopen(t)
				start(1)
				must(t, n.Destroy(t.Context(), name, 1, true))
				c.Spec.Env = map[string]string{"VERSION": "2"}
				must(t, n.Create(t.Context(), c, 2, spec.DefaultsVersion))
				start(2)
				must(t, n.Destroy(t.Context(), name, 2, false))
				must(t, n.Create(t.Context(), c, 3, spec.DefaultsVersion))
				start(3)
				must(t, n.Destroy(t.Context(), name, 3, false))
				if got := strings.Join(counts, " "); got != test.want {
					t.Errorf("counted %s, want %s", got, test.want)
				}
				if _, err := os.Lstat(n.path("rootfs", "count")); err == nil {
					t.Error("the rootfs was written to")
				}
			})
		}
	}
}

// A layer in memory is bounded.
func TestLayerSize(t *testing.T) {
	n := open(t)
	c := n.writable("web", `head -c 1000000 /dev/zero 2>/dev/null > /big; echo $(($(stat -c %s /big) < 200000))`, spec.Writable{Size: 128 << 10})
	if got := n.say(t, c); got != "1\n" {
		t.Errorf("got %q", got)
	}
}

// A boot ends all instances, but not what is on disk: an instance of the same number must not find the other's files, and
// with the name everything goes.
func TestLayersOfAnEarlierBoot(t *testing.T) {
	n := open(t)
	c := n.writable("web", remember, spec.Writable{Medium: spec.MediumDisk})
	for _, id := range []string{"1", "7"} {
		dir := n.path("state", "layers", "web", id)
		must(t, mount.PrepareLayer(dir, spec.Defaulted(c, spec.DefaultsVersion).Spec.Rootfs))
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		must(t, err)
		for _, upper := range files {
			must(t, os.WriteFile(filepath.Join(upper, "count"), []byte("x\nx\n"), 0o644))
		}
	}
	if got := n.say(t, c); got != "count 1\n" {
		t.Errorf("got %q, want one count", got)
	}
	if left, err := os.ReadDir(n.path("state", "layers")); len(left) > 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
}
