//go:build ignore

// Generate assembles amd64.asm and arm64.asm into init_amd64 and init_arm64, with GNU binutils. An architecture whose
// assembler is not installed keeps the file it has.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

var prefixes = map[string]string{"amd64": "x86_64-linux-gnu-", "arm64": "aarch64-linux-gnu-"}

func main() {
	log.SetFlags(0)
	for arch, prefix := range prefixes {
		if _, err := exec.LookPath(prefix + "as"); err != nil {
			log.Printf("tinyinit: init_%s stays as it is: %v", arch, err)
			continue
		}
		if err := generate(arch, prefix); err != nil {
			log.Fatalf("tinyinit: cannot assemble init_%s: %v", arch, err)
		}
	}
}

func generate(arch, prefix string) error {
	dir, err := os.MkdirTemp("", "tinyinit")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	object, linked := filepath.Join(dir, "init.o"), filepath.Join(dir, "init")
	for _, argv := range [][]string{
		{"as", "-o", object, arch + ".asm"},
		{"ld", "-Ttext=0x400000", "-o", linked, object},
		{"objcopy", "-O", "binary", "--only-section=.text", linked, "init_" + arch},
	} {
		if out, err := exec.Command(prefix+argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", argv, err, out)
		}
	}
	return os.Chmod("init_"+arch, 0o644)
}
