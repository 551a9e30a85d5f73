package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"testing"
	"time"
)

// Memory that is hashed while it is written has the hash of what was written in the end, however far that is looked at before, and whatever becomes of the file.
func TestHashAhead(t *testing.T) {
	page := bytes.Repeat([]byte("page"), pageSize/4)
	for name, test := range map[string]struct {
		looks []int // after so many pages each
		then  func(path string, all []byte) ([]byte, error)
	}{
		"never looked at": {nil, nil},
		"once":            {[]int{3}, nil},
		"often":           {[]int{0, 1, 1, 300, 2}, nil},
		"made anew": {[]int{3}, func(path string, _ []byte) ([]byte, error) {
			return page, errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, page, 0o600), os.Remove(path+".old"))
		}},
		"cut": {[]int{3}, func(path string, all []byte) ([]byte, error) { return all[:5000], os.Truncate(path, 5000) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := begin(t)
			f := &follower{files: map[string]*ahead{}}
			path := w.Images().Name() + "/pages-1.img"
			var all []byte
			add := func(text []byte) {
				all = append(all, text...)
				if err := os.WriteFile(path, all, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, pages := range test.looks {
				add(bytes.Repeat(page, pages))
				f.look(t.Context(), folder{w.images, nil})
			}
			if a := f.files["checkpoint/pages-1.img"]; len(test.looks) > 0 && (a == nil || a.n != int64(len(all))) {
				t.Errorf("ahead are %+v of %d bytes", a, len(all))
			}
			add([]byte("the end"))
			if test.then != nil {
				var err error
				if all, err = test.then(path, all); err != nil {
					t.Fatal(err)
				}
			}
			list, err := hashNew(t.Context(), w.dir, []string{"checkpoint/pages-1.img"}, f.files)
			want := sha256.Sum256(all)
			if err != nil || list[0].Size != int64(len(all)) || list[0].SHA256 != hex.EncodeToString(want[:]) {
				t.Errorf("%+v, %v of %d bytes", list, err, len(all))
			}
		})
	}
}

// Who follows is done when the image is.
func TestFollow(t *testing.T) {
	w := begin(t)
	w.Follow()
	w.Follow()
	if err := os.WriteFile(w.Images().Name()+"/pages-1.img", make([]byte, 10*hashBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * followDelay)
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	select {
	case <-w.follower.done:
	default:
		t.Error("it still follows")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hashNew(ended, begin(t).dir, []string{"checkpoint"}, nil); err == nil {
		t.Error("a directory has a hash")
	}
}

func begin(t *testing.T) *Writer {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w, err := s.Begin("web")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Abort() })
	return w
}
