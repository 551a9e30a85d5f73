package spec_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

func TestParseImageRef(t *testing.T) {
	for _, text := range []string{"web", "web/20261126-203315123", "a-b-9/00000000-000000000"} {
		if r, err := spec.ParseImageRef(text); err != nil || r.String() != text {
			t.Errorf("%s: got %v, %v", text, r, err)
		}
	}
	for _, text := range []string{
		"", "/", "web/", "Web", "web/latest", "web/20261126-203315123/x", "../web/20261126-203315123", "web/20261126-203315123\n", "web//20261126-203315123",
		"web/２0261126-203315123", strings.Repeat("a", 200),
	} {
		if r, err := spec.ParseImageRef(text); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: got %v, %v, want fs.ErrInvalid", text, r, err)
		}
	}
}

func TestImageRefAmong(t *testing.T) {
	images := []spec.Image{
		{Container: "web", ID: "20260101-000000000"},
		{Container: "db", ID: "20260105-000000000"},
		{Container: "web", ID: "20260102-000000000"},
		{Container: "web", ID: "20260103-000000000", Problem: "damaged"},
		{Container: "bad", ID: "20260101-000000000", Problem: "damaged"},
		{Container: "bad", ID: "20260102-000000000", Problem: "damaged"},
	}
	for text, want := range map[string]string{
		"web": "web/20260102-000000000", "web/20260103-000000000": "web/20260103-000000000", "bad": "bad/20260102-000000000",
		"nope": "", "web/20260105-000000000": "",
	} {
		r, err := spec.ParseImageRef(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Among(images)
		if want == "" && errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(err.Error(), text) {
			continue
		}
		if err != nil || got.Ref() != want {
			t.Errorf("%s: got %s, %v, want %s", text, got.Ref(), err, want)
		}
	}
}
