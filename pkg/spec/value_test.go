package spec

import (
	"errors"
	"strings"
	"testing"
)

// A container that a program has made is checked as its manifest would be: every key, what keys say together, and without places.
func TestContainerCheck(t *testing.T) {
	good := Container{Metadata: Metadata{Name: "web"}, Spec: ContainerSpec{
		Group:  "pod", // as Expand says it
		Rootfs: Rootfs{Path: "/srv/web", ReadOnly: true}, Command: []string{"/bin/web"}, Env: map[string]string{"PORT": "8080", "YES": "yes"},
		Resources: Resources{Memory: Memory{Max: NewLimit(64 << 20)}},
	}}
	if err := good.Check(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	bad := good
	bad.Metadata.Name = "Web"
	bad.Spec.Rootfs.Path = "srv"
	bad.Spec.Stop.Signal = "SIGNOT"
	bad.Spec.Network = Network{Mode: NetworkHost, Ports: []Port{{Host: 1, Container: 1}}}
	problems, _ := errors.AsType[Problems](bad.Check())
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	if got := strings.Join(paths, " "); got != "metadata.name spec.network.ports spec.rootfs.path spec.stop.signal" {
		t.Errorf("problems in %s:\n%v", got, problems)
	}
	if strings.Contains(problems.Error(), ":0") {
		t.Errorf("places of nothing: %v", problems)
	}
	if err := (Container{}).Check(); err == nil {
		t.Error("an empty one is right")
	}
}
