// Command genweb packs the files of pkg/web/page into pkg/web/packed, which the binary has. A file that is packed already stays as it is, so that
// what comes of it does not depend on who packs.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
)

func main() {
	log.SetFlags(0)
	if err := pack("page", "packed"); err != nil {
		log.Fatal("genweb: ", err)
	}
}

// pack makes the one directory the packed files of the other.
func pack(from, into string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, f := range files {
		name := f.Name() + ".gz"
		keep[name] = true
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			return err
		}
		if before, err := unpack(filepath.Join(into, name)); err == nil && bytes.Equal(before, text) {
			continue
		}
		if err := write(filepath.Join(into, name), text); err != nil {
			return err
		}
	}
	return sweep(into, keep)
}

func unpack(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func write(file string, text []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// sweep removes what is packed of files that are gone.
func sweep(dir string, keep map[string]bool) error {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if !keep[f.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return err
}
