package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/linux/statefile"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// stateName is the file in the state directory. It keeps the addresses of names over restarts of the node; what is attached
// now is read from the kernel.
const stateName = "network.json"

// state is what a Node knows of names and of its own bridges.
type state struct {
	Version int               `json:"version"`
	Bridges map[string]bridge `json:"bridges"`
	Names   map[string]held   `json:"names"`
}

// stateVersion is the only version there is.
const stateVersion = 1

// bridge is one of ours: its addresses, each with the length of its subnet.
type bridge struct {
	Addresses []netip.Prefix `json:"addresses"`
	// Last is the address given last, so that the next name gets another one than the name before had.
	Last netip.Addr `json:"last,omitzero"`
}

// held is what a name has.
type held struct {
	Bridge    string         `json:"bridge"`
	Addresses []netip.Prefix `json:"addresses"`
	Ports     []spec.Port    `json:"ports,omitempty"`
}

// maxState bounds what is read back: every address of a /16 takes less.
const maxState = 32 << 20

// loadState reads the state. A file that is torn, foreign or of another version is put aside and reported, and the state is empty:
// the kernel knows the addresses that are in use.
func loadState(dir string) (state, error) {
	empty := state{stateVersion, map[string]bridge{}, map[string]held{}}
	path := filepath.Join(dir, stateName)
	data, err := statefile.Read(path, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil && !errors.Is(err, fs.ErrInvalid) {
		return empty, fmt.Errorf("cannot read %s: %w", path, err)
	}
	var s state
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil || s.Version != stateVersion {
		return empty, errors.Join(fmt.Errorf("cannot use %s, put aside: version %d, %v", path, s.Version, err), os.Rename(path, path+".unusable"))
	}
	return s.believable(), nil
}

// believable is the state without what no Node writes.
func (s state) believable() state {
	b := state{stateVersion, map[string]bridge{}, map[string]held{}}
	valid := func(list []netip.Prefix) bool {
		for _, p := range list {
			if !p.IsValid() {
				return false
			}
		}
		return len(list) > 0
	}
	for name, v := range s.Bridges {
		if name != "" && len(name) <= linkNameMax && valid(v.Addresses) {
			b.Bridges[name] = v
		}
	}
	for name, v := range s.Names {
		_, err := forwards(v.Ports, v.Addresses)
		if validName(name) == nil && valid(v.Addresses) && errors.Join(err, checkPorts(v.Ports)) == nil {
			b.Names[name] = v
		}
	}
	return b
}

// save writes the state whole, unless it is saved already: a crash leaves the old or the new one.
func (s state) save(dir string, saved []byte) ([]byte, error) {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil || bytes.Equal(data, saved) {
		return saved, err
	}
	path := filepath.Join(dir, stateName)
	if err := statefile.Replace(path, data, 0o600, false); err != nil {
		return saved, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return data, nil
}

// clone is a state whose maps are its own.
func (s state) clone() state {
	s.Bridges, s.Names = maps.Clone(s.Bridges), maps.Clone(s.Names)
	return s
}
