package network_test

import (
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The files in /etc of a container that says nothing of them: it has no network to ask for names, so there is no resolv.conf.
func ExampleFiles() {
	c := spec.Container{Metadata: spec.Metadata{Name: "web"}}
	c.Spec.Network.Hosts = map[string]string{"db.internal": "10.0.0.7"}
	files := network.Files(spec.Defaulted(c, spec.DefaultsVersion), network.Result{}, network.NodeFiles{})
	fmt.Printf("%s---\n%s%d files\n", files[network.FileHostname], files[network.FileHosts], len(files))
	// Output:
	// web
	// ---
	// 127.0.0.1	localhost
	// ::1	localhost ip6-localhost ip6-loopback
	// 127.0.1.1	web
	// 10.0.0.7	db.internal
	// 2 files
}

// A published port that another container has is a *PortError, which names it.
func ExamplePortError() {
	err := fmt.Errorf("cannot start %q: %w", "web", &network.PortError{Name: "web", Port: spec.Port{Host: 8080, Container: 80}, Owner: "shop"})
	if taken, ok := errors.AsType[*network.PortError](err); ok {
		fmt.Println(taken.Port.Host, "belongs to", taken.Owner)
	}
	// Output: 8080 belongs to shop
}
