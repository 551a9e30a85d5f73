package image_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

const magicPagemap = 0x56084025

// Memory that was copied beforehand counts when the copy has it, each page of it, however many copies there are.
func TestParentPages(t *testing.T) {
	const at = 1 << 20 // an address
	head := message(1, 1)
	page := make([]byte, 4096)
	full := map[string][]byte{
		"checkpoint/pagemap-1.img": begin(magicPagemap, head, message(1, at, 2, 2, 4, 1), message(1, at+2*4096, 2, 1, 4, 4)),
		"checkpoint/pages-1.img":   page,
		"pre-2/pagemap-1.img":      begin(magicPagemap, head, message(1, at, 2, 1, 4, 4), message(1, at+4096, 2, 3, 4, 1)),
		"pre-2/pages-1.img":        page,
		"pre-1/pagemap-1.img":      begin(magicPagemap, head, message(1, at, 2, 4, 4, 4)),
		"pre-1/pages-1.img":        make([]byte, 4*4096),
	}
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		links  []string
		says   string
	}{
		"whole":         {func(map[string][]byte) {}, []string{"checkpoint=../pre-2", "pre-2=../pre-1"}, ""},
		"no link":       {func(map[string][]byte) {}, []string{"pre-2=../pre-1"}, "that is not there"},
		"no first copy": {func(map[string][]byte) {}, []string{"checkpoint=../pre-2"}, "that is not there"},
		"a circle":      {func(map[string][]byte) {}, []string{"checkpoint=../pre-2", "pre-2=../pre-2"}, "that is not there"},
		"a page less": {func(m map[string][]byte) {
			m["pre-1/pagemap-1.img"] = begin(magicPagemap, head, message(1, at, 2, 3, 4, 4))
			m["pre-1/pages-1.img"] = make([]byte, 3*4096)
		}, []string{"checkpoint=../pre-2", "pre-2=../pre-1"}, "pages that pre-1 has not"},
		"cut off": {func(m map[string][]byte) { m["pre-1/pages-1.img"] = page }, []string{"checkpoint=../pre-2", "pre-2=../pre-1"}, "pre-1/pages-1.img has 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			s := open(t, dir)
			w, err := s.Begin("web")
			if err != nil {
				t.Fatal(err)
			}
			files := map[string][]byte{}
			for name, text := range full {
				files[name] = text
			}
			c.change(files)
			for name, text := range files {
				f, err := w.Create(name)
				if err == nil {
					_, err = f.Write(text)
				}
				if err := errors.Join(err, f.Close()); err != nil {
					t.Fatal(err)
				}
			}
			for _, link := range c.links {
				from, to, _ := strings.Cut(link, "=")
				if err := os.Symlink(to, filepath.Join(dir, w.Ref()+".partial", from, "parent")); err != nil {
					t.Fatal(err)
				}
			}
			i, err := w.Commit(t.Context(), spec.Image{})
			switch {
			case c.says == "" && (err != nil || i.Memory != 3*4096):
				t.Errorf("its memory is %d: %v", i.Memory, err)
			case c.says != "" && (!errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("committed %+v, %v", i, err)
			}
		})
	}
}
