package tree_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// archived is an archive of entries as anybody may write it. Files have their names as data.
func archived(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.Format, h.ModTime = tar.FormatPAX, time.Unix(1, 2)
		must(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(h.Name))
			must(t, err)
		}
	}
	must(t, w.Close())
	return buf.Bytes()
}

func directory(name string) tar.Header {
	return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: 0o751}
}

func file(name string) tar.Header { return tar.Header{Name: name} }

func linkTo(kind byte, name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: kind, Linkname: target}
}

func apply(t testing.TB, dir string, archive []byte, deleted []string, o tree.Options) error {
	t.Helper()
	return tree.Apply(t.Context(), open(t, dir), bytes.NewReader(archive), deleted, o)
}

// Whatever an archive says, nothing is written, linked to or changed outside the directory, and the error names the entry.
func TestApplyRefuses(t *testing.T) {
	kerneltest.Require(t, feature.Privileges)
	deep := func(n int) (all []tar.Header) {
		for i := range n {
			all = append(all, directory(strings.Repeat("d/", i)+"d"))
		}
		return all
	}
	xattr := func(key, value string) []tar.Header {
		h := file("f")
		h.PAXRecords = map[string]string{"SCHILY.xattr." + key: value}
		return []tar.Header{h}
	}
	device := func(kind byte, major, minor int64) []tar.Header {
		return []tar.Header{{Name: "dev", Typeflag: kind, Devmajor: major, Devminor: minor}}
	}
	tests := map[string]struct {
		headers []tar.Header
		deleted []string
		options tree.Options
		named   string
	}{
		"parent":                     {headers: []tar.Header{file("../f")}},
		"parent within":              {headers: []tar.Header{directory("d"), file("d/../f")}},
		"absolute":                   {headers: []tar.Header{file("/f")}},
		"dot":                        {headers: []tar.Header{file("d/./f")}},
		"empty component":            {headers: []tar.Header{file("d//f")}},
		"through a link":             {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", ".."), file("l/f")}, named: "l/f"},
		"through an absolute link":   {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", "/"), file("l/f")}, named: "l/f"},
		"through a link within":      {headers: []tar.Header{directory("d"), linkTo(tar.TypeSymlink, "l", "d"), file("l/f")}, named: "l/f"},
		"over a link":                {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", "../f"), file("l")}, named: "l"},
		"directory over a link":      {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", ".."), directory("l")}, named: "l"},
		"twice":                      {headers: []tar.Header{file("f"), file("f")}, named: "f"},
		"directory twice":            {headers: []tar.Header{directory("d"), file("f"), directory("d")}, named: "d"},
		"directory twice at once":    {headers: []tar.Header{directory("d"), directory("d")}, named: "d"},
		"below a file":               {headers: []tar.Header{file("f"), file("f/g")}, named: "f/g"},
		"without its directory":      {headers: []tar.Header{file("d/f")}},
		"apart from its directory":   {headers: []tar.Header{directory("d"), file("f"), file("d/f")}},
		"the tree as a file":         {headers: []tar.Header{linkTo(tar.TypeSymlink, "./", "x")}},
		"a long name":                {headers: []tar.Header{file(strings.Repeat("x", 256))}},
		"hard link outside":          {headers: []tar.Header{linkTo(tar.TypeLink, "h", "../outside")}},
		"hard link to the root":      {headers: []tar.Header{linkTo(tar.TypeLink, "h", "/etc/passwd")}},
		"hard link through a link":   {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", ".."), linkTo(tar.TypeLink, "h", "l/outside")}, named: "l/outside"},
		"hard link to a directory":   {headers: []tar.Header{directory("d"), linkTo(tar.TypeLink, "h", "d")}},
		"hard link to itself":        {headers: []tar.Header{linkTo(tar.TypeLink, "h", "h")}},
		"hard link to nothing":       {headers: []tar.Header{linkTo(tar.TypeLink, "h", "f")}},
		"empty link":                 {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", "")}},
		"a long link":                {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", strings.Repeat("x", 5000))}},
		"a whiteout":                 {headers: device(tar.TypeChar, 0, 0), options: tree.Options{Whiteouts: true, Devices: true}},
		"a device number":            {headers: device(tar.TypeChar, 4096, 0), options: tree.Options{Devices: true}},
		"an unknown kind":            {headers: []tar.Header{{Name: "c", Typeflag: tar.TypeCont}}},
		"overlayfs's attributes":     {headers: xattr("trusted.overlay.redirect", "/etc")},
		"a label":                    {headers: xattr("security.selinux", "x")},
		"no access control list":     {headers: xattr("system.posix_acl_access", "x")},
		"an access control list":     {headers: xattr("system.posix_acl_access", "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff")},
		"no capabilities":            {headers: xattr("security.capability", "x")},
		"a large attribute":          {headers: xattr("user.x", strings.Repeat("x", 70000))},
		"too many bytes":             {headers: []tar.Header{file(strings.Repeat("x", 200)), file("f"), file("g")}, options: tree.Options{Bytes: 1100}, named: "g"},
		"too many entries":           {headers: []tar.Header{file("e"), file("f"), file("g")}, options: tree.Options{Entries: 2}, named: "g"},
		"too deep":                   {headers: deep(600)},
		"deeper than wanted":         {headers: deep(5), options: tree.Options{Depth: 4}},
		"an owner who is nobody":     {headers: []tar.Header{{Name: "f", Uid: 1<<32 - 1}}},
		"an owner who is not mapped": {headers: []tar.Header{{Name: "f", Uid: 7}}, options: tree.Options{UID: func(uint32) (uint32, bool) { return 0, false }}},
		"deleted outside":            {deleted: []string{"../outside"}, options: tree.Options{Whiteouts: true}},
		"deleted absolute":           {deleted: []string{"/etc"}, options: tree.Options{Whiteouts: true}},
		"deleted tree":               {deleted: []string{"."}, options: tree.Options{Whiteouts: true}},
		"deleted nothing":            {deleted: []string{""}, options: tree.Options{Whiteouts: true}},
		"deleted through a link":     {headers: []tar.Header{linkTo(tar.TypeSymlink, "l", "..")}, deleted: []string{"l/outside"}, options: tree.Options{Whiteouts: true}},
		"deleted and there":          {headers: []tar.Header{file("f")}, deleted: []string{"f"}, options: tree.Options{Whiteouts: true}},
		"deleted twice":              {deleted: []string{"f", "f"}, options: tree.Options{Whiteouts: true}},
		"deleted without whiteouts":  {deleted: []string{"f"}},
		"too many deleted":           {deleted: []string{"e", "f", "g"}, options: tree.Options{Whiteouts: true, Entries: 2}, named: "g"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			around := t.TempDir()
			must(t, os.WriteFile(around+"/outside", []byte("outside"), 0o600))
			must(t, os.Mkdir(around+"/dir", 0o755))
			before := outside(t, around)
			err := apply(t, around+"/dir", archived(t, tt.headers...), tt.deleted, tt.options)
			if !errors.Is(err, fs.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			if want := fmt.Sprintf("%.40q", tt.named); tt.named != "" && !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, which does not name %s", err, want)
			}
			same(t, outside(t, around), before)
		})
	}
}

// outside is what there is around the directory that is written to.
func outside(t testing.TB, around string) (lines []string) {
	for _, line := range snapshot(t, around) {
		if !strings.HasPrefix(line, `"dir`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// What is mounted in the directory is not written to.
func TestApplyStaysOnItsMount(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/mnt/deep", 0o755))
	kerneltest.Require(t, feature.Privileges)
	must(t, unix.Mount("t", dir+"/mnt", "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir+"/mnt", unix.MNT_DETACH)) })
	for _, archive := range [][]byte{archived(t, file("mnt/f")), archived(t, directory("mnt")), archived(t, linkTo(tar.TypeLink, "l", "mnt/f"))} {
		if err := apply(t, dir, archive, nil, tree.Options{}); !errors.Is(err, unix.EXDEV) || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	must(t, os.WriteFile(dir+"/mnt/f", nil, 0o600))
	must(t, os.WriteFile(dir+"/g", nil, 0o600))
	must(t, apply(t, dir, archived(t, file("f")), nil, tree.Options{Clear: true}))
	if got, err := filepath.Glob(dir + "/*"); err != nil || len(got) != 2 {
		t.Errorf("cleared: %q, %v", got, err)
	}
	if _, err := os.Stat(dir + "/mnt/f"); err != nil {
		t.Error(err)
	}
}

// A disk that is full is an error that says so.
func TestApplyToFullDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		config []string
		err    error
	}{"bytes": {[]string{"size", "64k"}, unix.ENOSPC}, "files": {[]string{"nr_inodes", "10"}, unix.ENOSPC}} {
		small := newMount(t, "tmpfs", tt.config...)
		l := newLayers(t, newLower(t, "mkdir d"), t.TempDir())
		merged := l.mount(t)
		shell(t, procPath(merged), "for i in {0..20}; do head -c 8192 /dev/urandom > d/$i; done")
		archive, _ := diff(t, merged, l.lower, nil)
		err := tree.Apply(t.Context(), small, bytes.NewReader(archive), nil, tree.Options{})
		if !errors.Is(err, tt.err) || errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), `"d/`) {
			t.Errorf("%s: got %v", name, err)
		}
		var out fullWriter
		if _, err := tree.Diff(t.Context(), &out, merged, open(t, l.lower), nil); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: saved: %v", name, err)
		}
	}
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, unix.ENOSPC }

// Nothing goes on once it is called off.
func TestCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the pause was too long")
	cancel(why)
	dir := t.TempDir()
	if err := tree.Save(ctx, &bytes.Buffer{}, open(t, dir), nil); !errors.Is(err, why) {
		t.Errorf("saved: %v", err)
	}
	if err := tree.Apply(ctx, open(t, dir), bytes.NewReader(archived(t, file("f"))), nil, tree.Options{}); !errors.Is(err, why) {
		t.Errorf("applied: %v", err)
	}
}

// An archive that is cut off anywhere is refused.
func TestApplyTruncated(t *testing.T) {
	archive := archived(t, directory("d"), file("d/f"), file("d/g"))
	for n := 0; n < len(archive)-1; n += 100 {
		if err := apply(t, t.TempDir(), archive[:n], nil, tree.Options{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%d of %d bytes: %v", n, len(archive), err)
		}
	}
}
