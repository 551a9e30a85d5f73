package network

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// The files that tell programs about names, by where they belong in /etc.
const (
	FileResolv   = "resolv.conf"
	FileHosts    = "hosts"
	FileHostname = "hostname"
)

// NodeFiles are the texts of the node's own, which a container's are made of.
type NodeFiles struct{ Resolv, Hosts []byte }

// ReadNodeFiles reads them below a directory, "/" for the node's. Where systemd-resolved answers at a loopback address, the file with the
// resolvers behind it is read instead, because a container does not reach the node's loopback. A file that is missing is empty.
func ReadNodeFiles(root string) (files NodeFiles, err error) {
	read := func(path string) []byte {
		data, e := os.ReadFile(filepath.Join(root, path))
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("cannot read the node's %s: %w", path, e))
		}
		return data
	}
	files.Resolv, files.Hosts = read("etc/resolv.conf"), read("etc/hosts")
	if isStub(files.Resolv) {
		if behind := read("run/systemd/resolve/resolv.conf"); len(behind) > 0 {
			files.Resolv = behind
		}
	}
	return files, err
}

// isStub tells a resolv.conf whose only resolver is that of systemd-resolved: systemd-resolved.service(8).
func isStub(resolv []byte) bool {
	servers := slices.DeleteFunc(words(resolv), func(w []string) bool { return w[0] != "nameserver" || len(w) < 2 })
	return len(servers) == 1 && (servers[0][1] == "127.0.0.53" || servers[0][1] == "127.0.0.54")
}

// Files are the contents of a container's files in /etc, by name. It is given defaulted; result is how it is attached, zero in modes other
// than Bridge. Without a network to ask there is no resolv.conf unless dns is said, and with base None there is only what is said.
func Files(c spec.Container, result Result, node NodeFiles) map[string][]byte {
	files := map[string][]byte{}
	network, bare := c.Spec.Network, c.Spec.Base == spec.BaseNone
	said := network.DNS.Nameservers != nil || network.DNS.Search != nil || network.DNS.Options != nil
	connected := network.Mode != spec.NetworkPrivate && network.Mode != spec.NetworkNone && network.Mode != ""
	if said || connected && !bare {
		files[FileResolv] = resolvFile(network, node.Resolv)
	}
	if !bare || len(network.Hosts) > 0 {
		files[FileHosts] = hostsFile(c, result, node.Hosts)
	}
	if !bare && c.Spec.Hostname != "" {
		files[FileHostname] = []byte(c.Spec.Hostname + "\n")
	}
	return files
}

// noResolver is written where the node's resolvers are out of reach and none is said.
const noResolver = "# The node's resolvers listen at addresses that are not reached from here: say network.dns.nameservers.\n"

// resolvFile is what dns says, and for what it does not say the node's. See resolv.conf(5): the last search line counts, options add up.
func resolvFile(network spec.Network, node []byte) []byte {
	dns := network.DNS
	servers, search, options := dns.Nameservers, dns.Search, dns.Options
	if dns.Nameservers == nil {
		for _, w := range words(node) {
			switch rest := w[1:]; {
			case len(rest) == 0:
			case w[0] == "nameserver" && reached(rest[0], network.Mode):
				servers = append(servers, rest[0])
			case (w[0] == "search" || w[0] == "domain") && dns.Search == nil:
				search = rest
			case w[0] == "options" && dns.Options == nil:
				options = append(options, rest...)
			}
		}
	}
	var b strings.Builder
	for _, s := range servers {
		b.WriteString("nameserver " + s + "\n")
	}
	if len(servers) == 0 {
		b.WriteString(noResolver)
	}
	if len(search) > 0 {
		b.WriteString("search " + strings.Join(search, " ") + "\n")
	}
	if len(options) > 0 {
		b.WriteString("options " + strings.Join(options, " ") + "\n")
	}
	return []byte(b.String())
}

// reached tells whether a resolver of the node answers in a container: those at its loopback, and those that only one of its links
// leads to, answer on the node alone.
func reached(server string, mode spec.NetworkMode) bool {
	if mode == spec.NetworkHost {
		return true
	}
	a, err := netip.ParseAddr(server)
	return err == nil && !a.IsLoopback() && !a.IsUnspecified() && a.Zone() == "" && !a.IsLinkLocalUnicast()
}

// hostsFile is hosts(5): loopback, the container's own name and address, and what is said; in the node's network also what the node's says.
func hostsFile(c spec.Container, result Result, node []byte) []byte {
	var b strings.Builder
	line := func(address string, names ...string) { b.WriteString(address + "\t" + strings.Join(names, " ") + "\n") }
	if c.Spec.Network.Mode == spec.NetworkHost && len(node) > 0 {
		b.Write(node)
		if node[len(node)-1] != '\n' {
			b.WriteByte('\n')
		}
	} else {
		line("127.0.0.1", "localhost")
		line("::1", "localhost", "ip6-localhost", "ip6-loopback")
	}
	if hostname := c.Spec.Hostname; hostname != "" {
		names := []string{hostname}
		if short, _, dotted := strings.Cut(hostname, "."); dotted {
			names = append(names, short)
		}
		for _, a := range result.Addresses {
			line(a.Addr().String(), names...)
		}
		if len(result.Addresses) == 0 && c.Spec.Network.Mode != spec.NetworkHost {
			line("127.0.1.1", names...) // as Debian has it for hosts without an address that lasts
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Spec.Network.Hosts)) {
		line(c.Spec.Network.Hosts[name], name)
	}
	return []byte(b.String())
}

// words are the words of each line of a file that is not empty or a comment.
func words(file []byte) (lines [][]string) {
	for line := range strings.Lines(string(file)) {
		if w := strings.Fields(line); len(w) > 0 && w[0][0] != '#' && w[0][0] != ';' {
			lines = append(lines, w)
		}
	}
	return lines
}
