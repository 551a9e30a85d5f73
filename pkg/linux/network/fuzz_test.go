package network_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/network"
	"github.com/seed31d4122e/reconciler/pkg/linux/network/netlink"
)

// FuzzState: whatever the file holds, what is believed of it can be written and reads back the same; a file that is put aside is there.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"bridges":{"reconciler0":{"addresses":["10.87.0.1/22"],"last":"10.87.0.2"}},` +
		`"names":{"web":{"bridge":"reconciler0","addresses":["10.87.0.2/22"],"ports":[{"host":80,"container":80}]},"group:a":{"bridge":"b","addresses":["fd00::1/64"]}}}`))
	f.Add([]byte(`{"version":1,"names":{"../x":{"addresses":["1.2.3.4/8"]},"a":{"addresses":[""]},"b":{"addresses":["1.2.3.4/8"],"ports":[{"host":-1}]}}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "network.json")
		must(t, os.WriteFile(path, data, 0o600))
		s, err := network.LoadState(dir)
		if err != nil {
			if aside, err := os.ReadFile(path + ".unusable"); err != nil || !bytes.Equal(aside, data) {
				t.Errorf("put aside is %q, %v", aside, err)
			}
		}
		first, err := s.Save(dir)
		must(t, err)
		s, err = network.LoadState(dir)
		must(t, err)
		second, err := s.Save(dir)
		must(t, err)
		if !bytes.Equal(first, second) {
			t.Errorf("%s reads back as %s", first, second)
		}
	})
}

// FuzzFlow: any conntrack entry is read or refused as malformed.
func FuzzFlow(f *testing.F) {
	f.Add([]byte{2, 0, 0, 0, 36, 0, 1, 128, 12, 0, 1, 128, 8, 0, 2, 0, 10, 0, 0, 1, 20, 0, 2, 128, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 3, 0, 0, 53, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := network.ParseFlow(body); err != nil && !errors.Is(err, netlink.ErrMalformed) {
			t.Error(err)
		}
		if name, held, ok := network.ReadAlias(string(body)); ok {
			again, same, ok := network.ReadAlias(network.WriteAlias(name, held.Addresses, "x"))
			if !ok || again != name || len(same.Addresses) != len(held.Addresses) {
				t.Errorf("%q reads back as %q", name, again)
			}
		}
	})
}
