package network

import (
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
)

// DefaultSubnet is cut into the subnets of the bridges that a node makes.
var DefaultSubnet = netip.MustParsePrefix("10.87.0.0/16")

// bridgeBits is the length of a bridge's subnet: a bridge has at most 1024 ports (BR_MAX_PORTS of net/bridge/br_private.h).
const bridgeBits = 22

// CheckSubnet says why no bridge can have its subnet from a prefix: it has no room for its own address, a bridge, a container and a broadcast. The zero value is the default.
func CheckSubnet(pool netip.Prefix) error {
	if pool.IsValid() && pool.Bits() > pool.Addr().BitLen()-2 {
		return fmt.Errorf("%s has no address for a container: %w", pool, fs.ErrInvalid)
	}
	return nil
}

// nextSubnet is the first subnet of a pool that overlaps none of taken, with the address of its bridge: the first.
func nextSubnet(pool netip.Prefix, taken []netip.Prefix) (netip.Prefix, error) {
	bits := min(max(pool.Bits(), bridgeBits), pool.Addr().BitLen()-2)
	for p := netip.PrefixFrom(pool.Masked().Addr(), bits); pool.Contains(p.Addr()); p = after(p) {
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return netip.PrefixFrom(p.Addr().Next(), bits), nil
		}
		if after(p).Addr().Less(p.Addr()) {
			break
		}
	}
	return netip.Prefix{}, fmt.Errorf("every subnet of %s is in use\nhint: give the agent another --bridge-subnet", pool)
}

// after is the subnet of the same length that follows.
func after(p netip.Prefix) netip.Prefix {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits() - 1; i >= 0; i-- {
		bit := byte(0x80) >> (i % 8)
		if b[i/8] ^= bit; b[i/8]&bit != 0 {
			break
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, p.Bits())
}

// nextAddress is an address of a subnet that is not taken: the first after last, and from the beginning again. The subnet's own and its
// last address, the broadcast, are never given.
func nextAddress(subnet netip.Prefix, last netip.Addr, taken func(netip.Addr) bool) (netip.Prefix, error) {
	begin := subnet.Masked().Addr().Next()
	usable := func(a netip.Addr) bool { return subnet.Contains(a) && subnet.Contains(a.Next()) }
	if !usable(last) {
		last = begin.Prev()
	}
	wrapped := false
	for a := last.Next(); ; a = a.Next() {
		if !usable(a) {
			if wrapped {
				return netip.Prefix{}, fmt.Errorf("every address of %s is in use", subnet.Masked())
			}
			a, wrapped = begin, true
		}
		if wrapped && last.Less(a) {
			return netip.Prefix{}, fmt.Errorf("every address of %s is in use", subnet.Masked())
		}
		if usable(a) && !taken(a) {
			return netip.PrefixFrom(a, subnet.Bits()), nil
		}
	}
}

// invalid is an error in what a manifest says.
func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, fs.ErrInvalid)...)
}
