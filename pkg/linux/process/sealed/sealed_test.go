package sealed_test

import (
	"io"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/process/sealed"
)

func TestFileCannotBeChanged(t *testing.T) {
	file, err := sealed.File("stone", []byte("final"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("written")
	}
	if err := file.Truncate(0); err == nil {
		t.Error("truncated")
	}
	if got, err := io.ReadAll(io.NewSectionReader(file, 0, 100)); string(got) != "final" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if info, err := file.Stat(); err != nil || info.Mode() != 0o555 {
		t.Errorf("mode = %v, %v", info.Mode(), err)
	}
}
