package nft_test

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
	. "github.com/seed31d4122e/reconciler/pkg/linux/network/nft"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestMain(m *testing.M) { kerneltest.Main(m) }

func open(t testing.TB) *netlink.Conn {
	t.Helper()
	kerneltest.Root(t)
	kerneltest.Require(t, feature.NetworkNamespaces, feature.Nftables)
	s, err := network.Make(spec.NetworkPrivate)
	must(t, err)
	defer s.Close()
	c, err := netlink.Dial(s.Net, unix.NETLINK_NETFILTER)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// some is a table with so many elements.
func some(n int) Table {
	m := Map{Name: "ports", Key: []Field{FieldProtocol, FieldPort}, Data: []Field{FieldIPv4, FieldPort}}
	for i := range n {
		m.Elements = append(m.Elements, Element{Words([]byte{6}, Port(uint16(i))), Words([]byte{10, 0, 0, 1}, Port(80))})
	}
	return Table{Name: "test", Comment: fmt.Sprint(n, " elements"), Maps: []Map{m}, Chains: []Chain{{
		Name: "in", Kind: "filter", Hook: unix.NF_INET_LOCAL_IN, Rules: []Rule{{Meta(unix.NFT_META_L4PROTO, Register), Equal(Register, []byte{6}), Decide(Accept)}},
	}}}
}

// A table is written, read back, updated, replaced and removed; verbs may be repeated.
func TestTable(t *testing.T) {
	c := open(t)
	must(t, Remove(c, "test"))
	for _, n := range []int{0, 1, 3000, 5} {
		must(t, Replace(c, some(n)))
		must(t, Replace(c, some(n)))
		comment, exists, err := Comment(c, "test")
		if err != nil || !exists || comment != fmt.Sprint(n, " elements") {
			t.Errorf("%d: %q %v %v", n, comment, exists, err)
		}
		holds(t, c, some(n))
	}
	for _, n := range []int{5, 700, 0, 3} {
		must(t, Update(c, some(n)))
		holds(t, c, some(n))
	}
	must(t, Remove(c, "test"))
	if comment, exists, err := Comment(c, "test"); exists || err != nil {
		t.Errorf("after Remove: %q %v %v", comment, exists, err)
	}
	if err := Update(c, some(1)); !errors.Is(err, unix.ENOENT) {
		t.Errorf("update of no table: %v", err)
	}
}

// A mistake anywhere in a batch leaves the table that was.
func TestAllOrNothing(t *testing.T) {
	c := open(t)
	must(t, Replace(c, some(3)))
	broken := some(7)
	broken.Chains = append(broken.Chains, Chain{Name: "bad", Kind: "nat", Hook: unix.NF_INET_FORWARD})
	if err := Replace(c, broken); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("a chain of nat where none can be: %v", err)
	}
	holds(t, c, some(3))
	broken = some(7)
	broken.Chains[0].Rules = append(broken.Chains[0].Rules, Rule{Lookup("nothing", Register)})
	if err := Replace(c, broken); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a rule with a map that is not there: %v", err)
	}
	holds(t, c, some(3))
}

func holds(t *testing.T, c *netlink.Conn, want Table) {
	t.Helper()
	got, err := Elements(c, want.Name, "ports")
	must(t, err)
	if more, less := Without(got, want.Maps[0].Elements), Without(want.Maps[0].Elements, got); len(more)+len(less) > 0 || len(got) != len(want.Maps[0].Elements) {
		t.Errorf("the map has %d elements, want %d: %d too many, %d missing", len(got), len(want.Maps[0].Elements), len(more), len(less))
	}
}

// FuzzElements: any answer gives elements or ErrMalformed.
func FuzzElements(f *testing.F) {
	for _, r := range ElementRequests(unix.NFT_MSG_NEWSETELEM, "t", "m", some(2).Maps[0].Elements) {
		f.Add(r.Body())
	}
	f.Add([]byte{1, 0, 0, 0, 8, 0, 3, 0x80, 4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := ParseElements(body, nil); err != nil && !errors.Is(err, netlink.ErrMalformed) {
			t.Error(err)
		}
		_ = ReadComment(body)
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
