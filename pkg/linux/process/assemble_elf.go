//go:build ignore

// Assemble_elf assembles amd64.asm and arm64.asm of the current directory into NAME_amd64 and NAME_arm64, with GNU
// binutils. An architecture whose assembler is not installed keeps the file it has.
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
	name := os.Args[1]
	for arch, prefix := range prefixes {
		if _, err := exec.LookPath(prefix + "as"); err != nil {
			log.Printf("%s_%s stays as it is: %v", name, arch, err)
			continue
		}
		if err := assemble(arch, prefix, name+"_"+arch); err != nil {
			log.Fatalf("cannot assemble %s_%s: %v", name, arch, err)
		}
	}
}

func assemble(arch, prefix, file string) error {
	dir, err := os.MkdirTemp("", "assemble")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	object, linked := filepath.Join(dir, "object"), filepath.Join(dir, "linked")
	for _, argv := range [][]string{
		{"as", "-I", "..", "-o", object, arch + ".asm"},
		{"ld", "-Ttext=0x400000", "-o", linked, object},
		{"objcopy", "-O", "binary", "--only-section=.text", linked, file},
	} {
		if out, err := exec.Command(prefix+argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", argv, err, out)
		}
	}
	return os.Chmod(file, 0o644)
}
