package netlink

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzAnswer holds the readers of answers to one law: any bytes give a value or ErrMalformed, or the error they tell of.
func FuzzAnswer(f *testing.F) {
	r := NewRequest(unix.RTM_NEWLINK, 0, linkHeader(3, unix.IFF_UP, 0))
	r.Text(unix.IFLA_IFNAME, "eth0")
	r.Nest(unix.IFLA_LINKINFO, func() { r.Text(unix.IFLA_INFO_KIND, "veth") })
	link, _ := r.encode(0, 1)
	f.Add(link)
	f.Add(append([]byte{36, 0, 0, 0, 2, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, link[:16]...))
	f.Add([]byte{20, 0, 0, 0, 3, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			m, rest, err := split(data)
			if err != nil {
				malformed(t, err)
				return
			}
			if len(rest) >= len(data) {
				t.Fatal("nothing was taken off")
			}
			data = rest
			if refusal := (*Error)(nil); !errors.As(m.failure(), &refusal) {
				malformed(t, m.failure())
			}
			_, err = parseLink(m.body)
			malformed(t, err)
			address, err := parseAddress(m.body)
			malformed(t, err)
			if err == nil && !address.Prefix.IsValid() {
				t.Errorf("an address %v", address)
			}
			route, ok, err := parseRoute(m.body)
			malformed(t, err)
			if ok && !route.Destination.IsValid() {
				t.Errorf("a route to %v", route.Destination)
			}
		}
	})
}

func malformed(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
