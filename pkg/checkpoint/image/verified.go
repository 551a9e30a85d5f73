package image

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"strings"

	"golang.org/x/sys/unix"
)

// verifiedFloor is from which size on it is worth to remember that a file was read.
const verifiedFloor = 1 << 20

// maxVerified bounds the file it is remembered in.
const maxVerified = 4 << 20

// verified are files whose bytes were read and found right, by ID/path, since the machine started.
type verified struct {
	Boot  string          `json:"boot"`
	Files map[string]seen `json:"files"`
}

// seen is the state of a file in which it had a hash.
type seen struct {
	Stamp  stamp  `json:"stamp"`
	SHA256 string `json:"sha256"`
}

// trust remembers the files of an image that were read and found right, or just written.
func (s *Store) trust(container, id string, files []hashed) {
	dir, err := s.root.sub(container)
	if err != nil {
		return
	}
	defer dir.close()
	found := map[string]seen{}
	for _, f := range files {
		if f.of == (stamp{}) || f.Size < verifiedFloor {
			continue
		}
		found[id+"/"+f.Path] = seen{f.of, f.SHA256}
	}
	s.addVerified(dir, container, found)
}

// addVerified remembers files. Whether that reaches the disk is of no importance.
func (s *Store) addVerified(dir folder, container string, found map[string]seen) {
	if len(found) == 0 || s.boot == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.verifiedOf(dir, container)
	maps.Copy(v.Files, found)
	v.save(dir)
}

// isVerified tells whether a file has a hash in the state in which it is.
func (s *Store) isVerified(dir folder, container, name string, now seen) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verifiedOf(dir, container).Files[name] == now
}

// verifiedOf reads what is remembered of a container's images. s.mu is held.
func (s *Store) verifiedOf(dir folder, container string) *verified {
	if v, ok := s.verified[container]; ok {
		return v
	}
	v := &verified{}
	text, _, err := dir.read(verifiedName, maxVerified)
	if err != nil || json.Unmarshal(text, v) != nil || v.Boot != s.boot || v.Files == nil || s.boot == "" {
		v = &verified{Boot: s.boot, Files: map[string]seen{}}
	}
	s.verified[container] = v
	return v
}

// unverify forgets an image.
func (s *Store) unverify(container, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.verified[container]
	if !ok {
		return
	}
	maps.DeleteFunc(v.Files, func(name string, _ seen) bool { return strings.HasPrefix(name, id+"/") })
	if len(v.Files) == 0 {
		delete(s.verified, container)
	}
}

// save writes what is remembered. It counts in this run of the machine only, so it is not synced.
func (v *verified) save(dir folder) {
	text, err := json.Marshal(v)
	if err != nil || len(text) > maxVerified || dir.step("write", verifiedName) != nil {
		return
	}
	if err := unix.Unlinkat(int(dir.dir.Fd()), verifiedName+newSuffix, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	f, err := dir.open(verifiedName+newSuffix, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return
	}
	_, err = f.Write(text)
	if errors.Join(err, f.Close()) == nil {
		_ = dir.rename(verifiedName+newSuffix, verifiedName)
	}
}
