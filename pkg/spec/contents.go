package spec

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// MaxConfig bounds what a config holds: the bytes of all names and values.
const MaxConfig = 1 << 20

// Contents are what a config holds, with all its files read. They are values of somebody else's: they say nothing of themselves when printed.
type Contents struct {
	Sensitive bool
	Env       map[string]string
	Files     map[string][]byte
}

// String says how much there is, and nothing of what.
func (c Contents) String() string {
	return fmt.Sprintf("%d variables and %d files", len(c.Env), len(c.Files))
}

// GoString is String.
func (c Contents) GoString() string { return c.String() }

// Equal tells whether two contents are the same.
func (c Contents) Equal(other Contents) bool {
	return c.Sensitive == other.Sensitive && maps.Equal(c.Env, other.Env) && maps.EqualFunc(c.Files, other.Files, func(a, b []byte) bool { return string(a) == string(b) })
}

// size is what bounds a config.
func (c Contents) size() (n int) {
	for name, value := range c.Env {
		n += len(name) + len(value)
	}
	for name, data := range c.Files {
		n += len(name) + len(data)
	}
	return n
}

// Hashes are short hashes of all values, by the paths of their keys: env.LOG, files.app.conf. None of what is sensitive: a short secret can be found by its hash.
func (c Contents) Hashes() map[string]string {
	if c.Sensitive {
		return nil
	}
	keys := map[string]string{}
	for name, value := range c.Env {
		keys[joinKey("env", name)] = shortHash(value)
	}
	for name, data := range c.Files {
		keys["files."+name] = shortHash(string(data))
	}
	return keys
}

// ChangedKeys are the paths of the keys whose hashes differ, sorted.
func ChangedKeys(before, after map[string]string) (paths []string) {
	for path, hash := range before {
		if after[path] != hash {
			paths = append(paths, path)
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// Projection is a config as one container gets it: a value beside the container's spec, never a part of it.
type Projection struct {
	Contents
	Name string
	// Hash is of what the container gets. Equal hashes need no update.
	Hash string
	// Mode is that of the files.
	Mode uint32
	// Keys are short hashes of what the container gets, by key of the config; see Contents.Hashes.
	Keys map[string]string
	// Seen tells that the process knows of it, or need not. With Noted that is all: nothing is written, and if Hash is not what is written nothing is noted.
	Seen, Noted bool
}

// Project is what a container gets of a config by its use of it: no files without a path, no variables without env.
func (u ConfigUse) Project(c Contents) Projection {
	p := Projection{Name: u.Name, Contents: Contents{Sensitive: c.Sensitive}}
	if u.Path != "" {
		p.Files = c.Files
	}
	if p.Keys = p.Hashes(); u.Env {
		p.Keys = Contents{c.Sensitive, c.Env, p.Files}.Hashes()
		p.Env = map[string]string{}
		for name, value := range c.Env {
			p.Env[u.Prefix+name] = value
		}
	}
	fmt.Sscanf(u.Defaulted().Mode, "%o", &p.Mode)
	p.Hash = p.hash()
	return p
}

// Note is the state of an instance's config with the projection in it.
func (p Projection) Note(s ConfigState) ConfigState {
	if !p.Noted {
		s.Written, s.Keys, s.Sensitive = p.Hash, p.Keys, p.Sensitive
	}
	if p.Seen && s.Written == p.Hash {
		s.Seen = p.Hash
	}
	return s
}

// hash is of everything that is given, in an order.
func (p Projection) hash() string {
	h := sha256.New()
	add := func(kind, name, value string) {
		fmt.Fprintf(h, "%s %d %s %d %s\n", kind, len(name), name, len(value), value)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		add("env", name, p.Env[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		add("file", name, string(p.Files[name]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// String says which config it is, and nothing of what it holds.
func (p Projection) String() string { return "config " + p.Name + ": " + p.Contents.String() }

// GoString is String.
func (p Projection) GoString() string { return p.String() }

// Format keeps values out of every print.
func (p Projection) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// Format keeps values out of every print.
func (c Contents) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// decodeBase64 reads a base64 text, whatever lines it is broken into.
func decodeBase64(s string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
}

// SeenConfigs are the hashes of what the process of an instance has seen, by config, for an image of it; none of a sensitive one.
func SeenConfigs(in Instance) (seen map[string]string) {
	for name, state := range in.Configs {
		if state.Sensitive || state.Seen == "" {
			continue
		}
		if seen == nil {
			seen = map[string]string{}
		}
		seen[name] = state.Seen
	}
	return seen
}

// Restored is what an instance has of its configs once it was restored from an image: what the image's process had seen. Where the image does not say
// that, it is what the instance's own process had, if it is the image's.
func (i Image) Restored(in Instance) map[string]ConfigState {
	configs := maps.Clone(in.Configs)
	for name, state := range configs {
		if seen := i.Configs[name]; seen != "" || i.Instance != in.ID || i.Container != in.Name {
			state.Seen = seen
			configs[name] = state
		}
	}
	return configs
}
