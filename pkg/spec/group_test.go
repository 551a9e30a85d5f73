package spec_test

import (
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A group is its containers: each has a name, a line and a spec of its own, and what the group says for all.
func TestGroup(t *testing.T) {
	documents, problems := spec.Decode("shop.yaml", []byte(readFile(t, "group.yaml")))
	if problems != nil {
		t.Fatal(problems)
	}
	want := []struct {
		name, command string
		line          int
	}{{"shop-db", "/bin/db", 12}, {"shop-web", "/bin/web", 8}}
	if len(documents) != len(want) {
		t.Fatalf("%d containers, want %d", len(documents), len(want))
	}
	for i, d := range documents {
		c, w := d.Container, want[i]
		if c.Kind != spec.KindContainer || c.Metadata.Name != w.name || c.Metadata.Labels["app"] != "shop" || c.Spec.Command[0] != w.command || d.Line != w.line {
			t.Errorf("got %+v in line %d, want %+v", c, d.Line, w)
		}
		if s := c.Spec; s.Group != "shop" || s.Hostname != "shop" || s.Network.Mode != spec.NetworkPrivate || s.Sysctls["net.core.somaxconn"] != "512" {
			t.Errorf("%s does not have what the group says: %+v", w.name, s)
		}
	}
}

// What the group says is part of each container's identity; what one container says is not part of another's.
func TestGroupIdentity(t *testing.T) {
	ids := func(change func(*spec.Group)) map[string]string {
		g := spec.Group{Metadata: spec.Metadata{Name: "shop"}}
		g.Spec.Containers = map[string]spec.ContainerSpec{"web": {}, "db": {}}
		change(&g)
		ids := map[string]string{}
		for _, c := range g.Expand() {
			ids[c.Metadata.Name] = spec.Identity(c, spec.DefaultsVersion)
		}
		return ids
	}
	before := ids(func(*spec.Group) {})
	if after := ids(func(g *spec.Group) { g.Spec.State = spec.StatePaused }); after["shop-web"] != before["shop-web"] {
		t.Error("pausing a group replaces its containers")
	}
	if after := ids(func(g *spec.Group) { g.Spec.Network.Mode = spec.NetworkHost }); after["shop-web"] == before["shop-web"] || after["shop-db"] == before["shop-db"] {
		t.Error("another network does not replace all containers")
	}
	if after := ids(func(g *spec.Group) { g.Spec.Domainname = "example" }); after["shop-web"] == before["shop-web"] || after["shop-db"] == before["shop-db"] {
		t.Error("another domain name does not replace all containers")
	}
	if after := ids(func(g *spec.Group) { g.Spec.Containers["web"] = spec.ContainerSpec{User: "1"} }); after["shop-web"] == before["shop-web"] || after["shop-db"] != before["shop-db"] {
		t.Error("a change of one container is one of another")
	}
}
