package spec_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// imageOf is an image of a container as a node would describe it.
func imageOf(c spec.Container) spec.Image {
	return spec.Image{
		Container: c.Metadata.Name, ID: "20261126-203315123", Spec: c, Defaults: spec.DefaultsVersion, Hash: spec.Identity(c, spec.DefaultsVersion),
	}
}

// An image fits a container that is the same but for its surroundings; otherwise the fields are named that speak against it.
func TestRestorable(t *testing.T) {
	original := func() spec.Container {
		c := spec.Container{APIVersion: spec.APIVersion, Kind: spec.KindContainer, Metadata: spec.Metadata{Name: "base"}}
		c.Spec.Rootfs.Path = "/srv"
		c.Spec.Command = []string{"/bin/web", "-v"}
		c.Spec.Network = spec.Network{Mode: spec.NetworkBridge, Address: "10.1.0.2/24"}
		return c
	}
	image := imageOf(original())
	for name, c := range map[string]struct {
		change func(*spec.Container)
		want   string
	}{
		"the same":     {func(*spec.Container) {}, ""},
		"another name": {func(c *spec.Container) { c.Metadata.Name = "web" }, ""},
		"another address": {func(c *spec.Container) {
			c.Spec.Network.Address = "10.1.0.9/24"
			c.Spec.Network.MAC = "02:00:00:00:00:09"
		}, ""},
		"ports": {func(c *spec.Container) { c.Spec.Network.Ports = []spec.Port{{Host: 80, Container: 80}} }, ""},
		"limits and labels": {func(c *spec.Container) {
			c.Spec.Resources.Memory.Max = spec.NewLimit(1 << 30)
			c.Metadata.Labels = map[string]string{"a": "b"}
		}, ""},
		"a state":             {func(c *spec.Container) { c.Spec.State = spec.StateCheckpointed; c.Spec.Checkpoint.Retain = 7 }, ""},
		"a default said":      {func(c *spec.Container) { c.Spec.WorkingDir = "/" }, ""},
		"the old host name":   {func(c *spec.Container) { c.Metadata.Name = "web"; c.Spec.Hostname = "base" }, ""},
		"another host name":   {func(c *spec.Container) { c.Spec.Hostname = "web" }, "spec.hostname differ"},
		"another bridge":      {func(c *spec.Container) { c.Spec.Network.Bridge = "br9" }, "spec.network.bridge differ"},
		"another command":     {func(c *spec.Container) { c.Spec.Command = []string{"/bin/db"} }, "spec.command differ"},
		"env and rootfs":      {func(c *spec.Container) { c.Spec.Env = map[string]string{"A": "1"}; c.Spec.Rootfs.Path = "/x" }, "spec.rootfs.path, spec.env.A differ"},
		"another mount":       {func(c *spec.Container) { c.Spec.Mounts = []spec.Mount{{Type: "tmpfs", Destination: "/tmp"}} }, "spec.mounts differ"},
		"a user and the rest": {func(c *spec.Container) { c.Spec.User = "7"; c.Spec.Namespaces.PID = spec.NamespaceHost }, "spec.user, spec.namespaces.pid differ"},
	} {
		target := original()
		c.change(&target)
		err := spec.Restorable(image, target, spec.DefaultsVersion)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, fs.ErrInvalid) || err.Error() != "image base/20261126-203315123 is of another spec: "+c.want):
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	lost := image
	lost.Spec = spec.Container{}
	other := original()
	other.Spec.Command = []string{"/bin/db"}
	if spec.Restorable(lost, original(), 1) != nil || !errors.Is(spec.Restorable(lost, other, 1), fs.ErrInvalid) {
		t.Error("an image whose spec is lost fits by its hash alone")
	}
}
