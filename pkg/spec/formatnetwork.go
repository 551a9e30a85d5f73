package spec

import (
	"net/netip"
	"slices"
	"strings"
)

// networkFormats are the forms of text of a network.
var networkFormats = map[string]format{
	"joined":    {wants: "container:NAME or the absolute path of a namespace file", pattern: `^(container:[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|/.+)$`, longest: pathMax, check: checkJoined},
	"link":      {wants: "the name of a network interface: at most 15 of letters, digits, _, . and -", pattern: `^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`, check: checkLink},
	"ip":        {wants: "an IP address such as 10.1.2.3 or fd00::7", pattern: `^[0-9a-fA-F:.]+$`, check: checkIP},
	"cidr":      {wants: "an address with the length of its subnet such as 10.1.2.3/24", pattern: `^[0-9a-fA-F:.]+/[0-9]{1,3}$`, check: checkCIDR, hint: cidrHint},
	"subnet":    {wants: "a subnet such as 10.1.0.0/16", pattern: `^[0-9a-fA-F:.]+/[0-9]{1,3}$`, check: checkSubnet},
	"mac":       {wants: "a MAC address such as 02:52:0a:01:02:03", pattern: `^[0-9a-f]{2}(:[0-9a-f]{2}){5}$`, check: checkMAC, hint: macHint},
	"domain":    {wants: "a domain name such as db or db.example.com", pattern: `^[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*$`, longest: 253},
	"dnsOption": {wants: "an option of resolv.conf(5) such as ndots:2", pattern: `^[a-z0-9-]+(:[0-9]+)?$`},
}

// checkJoined checks what a network or namespace is joined by.
func checkJoined(s string) error {
	if strings.HasPrefix(s, "/") {
		return checkPath(s)
	}
	return nil
}

// ValidLink tells why a text cannot be the name of a network interface of one's own, nil if it can.
func ValidLink(name string) error { return checkFormat("link", name) }

// checkLink refuses names that mean something else to the kernel: its own loopback, and the directories for all links in /proc/sys/net.
func checkLink(s string) error {
	if slices.Contains([]string{"lo", "all", "default"}, s) {
		return faultf("%s is no name for a network interface of one's own", quoteBare(s))
	}
	return nil
}

// checkIP checks an address; there is one way to write each.
func checkIP(s string) error {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return faultf("%s is not an IP address", quote(s))
	}
	return canonical(s, a.Unmap().String())
}

func canonical(s, shortest string) error {
	if s != shortest {
		return fault{quote(s) + " is not in its usual form", "write " + quoteBare(shortest)}
	}
	return nil
}

// checkCIDR checks the address of a host in a subnet.
func checkCIDR(s string) error {
	p, err := netip.ParsePrefix(s)
	a := p.Addr()
	switch {
	case err != nil:
		return faultf("%s is not an address with the length of its subnet", quote(s))
	case a.Is4In6():
		return fault{quote(s) + " is an address of IPv4 in the form of IPv6", "write " + a.Unmap().String() + " with the length of its subnet"}
	case p.String() != s:
		return canonical(s, p.String())
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast():
		return faultf("%s is not an address that a container can have", quoteBare(a.String()))
	case a == p.Masked().Addr() && p.Bits() < a.BitLen()-1:
		return fault{quoteBare(s) + " is the subnet itself", "write an address in it, such as " + a.Next().String() + s[strings.IndexByte(s, '/'):]}
	case a.Is4() && p.Bits() < 31 && !p.Contains(a.Next()):
		return faultf("%s is the broadcast address of its subnet", quoteBare(s))
	}
	return nil
}

// cidrHint adds the length that was forgotten.
func cidrHint(s string) string {
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return "did you mean " + s + "/24?"
	} else if err == nil && a.Zone() == "" {
		return "did you mean " + a.String() + "/64?"
	}
	return ""
}

// checkSubnet checks a subnet, without bits that it leaves open.
func checkSubnet(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return faultf("%s is not a subnet", quote(s))
	}
	if p.Addr().Is4In6() {
		return faultf("%s is a subnet of IPv4 in the form of IPv6", quote(s))
	}
	if p != p.Masked() {
		return fault{quote(s) + " has bits beyond the length of the subnet", "did you mean " + p.Masked().String() + "?"}
	}
	return canonical(s, p.String())
}

// checkMAC refuses what no single card can have.
func checkMAC(s string) error {
	if strings.ContainsRune("13579bdf", rune(s[1])) {
		return faultf("%s is a group address", quoteBare(s))
	}
	if strings.Trim(s, "0:") == "" {
		return faultf("%s is no address", quoteBare(s))
	}
	return nil
}

func macHint(s string) string {
	fixed := strings.ReplaceAll(strings.ToLower(s), "-", ":")
	if fixed == s || len(fixed) != len("00:00:00:00:00:00") || strings.Trim(fixed, "0123456789abcdef:") != "" {
		return ""
	}
	return "did you mean " + fixed + "?"
}
