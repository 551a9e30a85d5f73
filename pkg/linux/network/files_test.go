package network_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const nodeResolv = `# a comment
; another
nameserver 127.0.0.1
nameserver 10.0.0.53
nameserver fe80::1%eth0
nameserver ::1
nameserver
domain old.example
search corp.example example
options edns0 ndots:2
options trust-ad
`

// The files of a container by what its manifest says; "" is no file.
func TestFiles(t *testing.T) {
	const (
		loopback = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
		filtered = "nameserver 10.0.0.53\nsearch corp.example example\noptions edns0 ndots:2 trust-ad\n"
	)
	onBridge := network.Result{Addresses: []netip.Prefix{netip.MustParsePrefix("10.87.0.2/22"), netip.MustParsePrefix("fd09::7/64")}}
	tests := map[string]struct {
		spec     spec.ContainerSpec
		result   network.Result
		resolv   string
		hosts    string
		hostname string
	}{
		"bridge": {
			spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkBridge}},
			onBridge,
			filtered, loopback + "10.87.0.2\tweb\nfd09::7\tweb\n", "web\n",
		},
		"bridge, said": {
			spec.ContainerSpec{Hostname: "web.example", Network: spec.Network{
				Mode: spec.NetworkBridge, Hosts: map[string]string{"z": "10.0.0.9", "db": "10.0.0.8"},
				DNS: spec.DNS{Nameservers: []string{"1.1.1.1"}, Options: []string{"ndots:5"}},
			}},
			network.Result{Addresses: onBridge.Addresses[:1]},
			"nameserver 1.1.1.1\noptions ndots:5\n", loopback + "10.87.0.2\tweb.example web\n10.0.0.8\tdb\n10.0.0.9\tz\n", "web.example\n",
		},
		"bridge, search said": {
			spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkBridge, DNS: spec.DNS{Search: []string{"a.example"}}}},
			onBridge,
			"nameserver 10.0.0.53\nsearch a.example\noptions edns0 ndots:2 trust-ad\n", loopback + "10.87.0.2\tweb\nfd09::7\tweb\n", "web\n",
		},
		"host": {
			spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkHost, Hosts: map[string]string{"db": "10.0.0.8"}}},
			network.Result{},
			"nameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver ::1\nsearch corp.example example\noptions edns0 ndots:2 trust-ad\n",
			"127.0.0.1 localhost node\n10.0.0.8\tdb\n", "web\n",
		},
		"private": {
			spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkPrivate}},
			network.Result{},
			"", loopback + "127.0.1.1\tweb\n", "web\n",
		},
		"none, dns said": {
			spec.ContainerSpec{Hostname: "web", Network: spec.Network{Mode: spec.NetworkNone, DNS: spec.DNS{Nameservers: []string{"::1"}}}},
			network.Result{},
			"nameserver ::1\n", loopback + "127.0.1.1\tweb\n", "web\n",
		},
		"bare":       {spec.ContainerSpec{Base: spec.BaseNone, Hostname: "web", Network: spec.Network{Mode: spec.NetworkBridge}}, onBridge, "", "", ""},
		"bare, said": {spec.ContainerSpec{Base: spec.BaseNone, Network: spec.Network{Mode: spec.NetworkHost, DNS: spec.DNS{Search: []string{"a"}}}}, onBridge, "nameserver 127.0.0.1\nnameserver 10.0.0.53\nnameserver fe80::1%eth0\nnameserver ::1\nsearch a\noptions edns0 ndots:2 trust-ad\n", "", ""},
	}
	for name, test := range tests {
		files := network.Files(spec.Container{Spec: test.spec}, test.result, network.NodeFiles{Resolv: []byte(nodeResolv), Hosts: []byte("127.0.0.1 localhost node")})
		want(t, name+": resolv.conf", string(files[network.FileResolv]), test.resolv)
		want(t, name+": hosts", string(files[network.FileHosts]), test.hosts)
		want(t, name+": hostname", string(files[network.FileHostname]), test.hostname)
	}
	only := network.Files(spec.Container{Spec: spec.ContainerSpec{Network: spec.Network{Mode: spec.NetworkBridge}}}, onBridge, network.NodeFiles{Resolv: []byte("nameserver 127.0.0.53\n")})
	want(t, "no resolver in reach", string(only[network.FileResolv]), "# The node's resolvers listen at addresses that are not reached from here: say network.dns.nameservers.\n")
}

// Where systemd-resolved answers for the node, the resolvers behind it answer for containers.
func TestReadNodeFiles(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	read := func() string {
		t.Helper()
		files, err := network.ReadNodeFiles(root)
		must(t, err)
		return string(files.Resolv)
	}
	want(t, "nothing", read(), "")
	write("etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0\n")
	want(t, "a stub alone", read(), "nameserver 127.0.0.53\noptions edns0\n")
	write("run/systemd/resolve/resolv.conf", "nameserver 10.0.0.1\n")
	want(t, "behind the stub", read(), "nameserver 10.0.0.1\n")
	write("etc/resolv.conf", "nameserver 10.0.0.2\n")
	want(t, "no stub", read(), "nameserver 10.0.0.2\n")
}
