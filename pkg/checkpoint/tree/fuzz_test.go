package tree_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
	"github.com/seed31d4122e/reconciler/pkg/checkpoint/tree"
	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// Whatever an archive holds, nothing around the directory changes; and what it made can be saved and comes back the same.
func FuzzApply(f *testing.F) {
	kerneltest.Require(f, feature.Privileges)
	around := f.TempDir()
	must(f, os.WriteFile(around+"/outside", []byte("outside"), 0o600))
	before := snapshot(f, around)[1:] // the directory's own time changes
	f.Add(archived(f, directory("."), directory("d"), file("d/f"), linkTo(tar.TypeLink, "h", "d/f"), linkTo(tar.TypeSymlink, "l", "..")), "gone\nd/gone", true)
	f.Add(archived(f, linkTo(tar.TypeSymlink, "l", ".."), file("l/outside")), "l/outside", true)
	for i := range 4 {
		from := f.TempDir()
		v := &vandal{Rand: rand.New(rand.NewPCG(uint64(i), 2)), top: from}
		v.run(8)
		f.Add(save(f, from, nil), "", i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, archive []byte, gone string, whiteouts bool) {
		dir, err := os.MkdirTemp(around, "dir")
		must(t, err)
		defer os.RemoveAll(dir)
		var deleted []string
		if gone != "" {
			deleted = []string{gone}
		}
		err = apply(t, dir, mended(archive), deleted, tree.Options{Whiteouts: whiteouts, Bytes: 1 << 20, Entries: 500, Depth: 20})
		if err == nil && !whiteouts {
			to, err := os.MkdirTemp(around, "to")
			must(t, err)
			defer os.RemoveAll(to)
			must(t, apply(t, to, save(t, dir, nil), nil, tree.Options{}))
			if got, want := snapshot(t, to), snapshot(t, dir); fmt.Sprint(got) != fmt.Sprint(want) {
				same(t, got, want)
			}
			must(t, os.RemoveAll(to))
		}
		must(t, os.RemoveAll(dir))
		same(t, snapshot(t, around)[1:], before)
	})
}

// mended is an archive whose headers have right checksums and magics: otherwise hardly one is looked into.
func mended(archive []byte) []byte {
	archive = bytes.Clone(archive)
	for at := 0; at+512 <= len(archive); {
		block := archive[at : at+512]
		if bytes.Count(block, []byte{0}) == len(block) {
			break
		}
		copy(block[257:], "ustar\x0000")
		copy(block[148:], "        ")
		sum := 0
		for _, b := range block {
			sum += int(b)
		}
		copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
		size, err := strconv.ParseUint(strings.Trim(string(block[124:136]), " \x00"), 8, 30)
		if err != nil {
			break
		}
		at += 512 + int(size+511)&^511
	}
	return archive
}

// Whatever a list of deleted names holds, it is an error or comes back the same.
func FuzzDeleted(f *testing.F) {
	f.Add([]byte(`["a","b/c","\udcff","\ud83d\ude00"]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		names, err := tree.DecodeDeleted(text)
		if err != nil {
			return
		}
		again, err := tree.DecodeDeleted(tree.EncodeDeleted(names))
		if err != nil || fmt.Sprintf("%q", again) != fmt.Sprintf("%q", names) {
			t.Errorf("got %q, %v; want %q", again, err, names)
		}
	})
}
