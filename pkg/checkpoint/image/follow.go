package image

import (
	"context"
	"crypto/sha256"
	"hash"
	"os"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// Memory is hashed, and on its way to the disk, while it is still being written: at a commit that is most of the work, and a processor is idle.
const (
	followDelay = 20 * time.Millisecond // a small image is whole by then
	followPause = 5 * time.Millisecond
)

// pagesName is what criu only ever writes at the end of.
var pagesName = regexp.MustCompile(`^pages-[0-9]+[.]img$`)

// ahead is the hash of the first n bytes of a file.
type ahead struct {
	hash hash.Hash
	n    int64
	ino  uint64
}

// follower is what hashes files while they are written.
type follower struct {
	cancel context.CancelFunc
	done   chan struct{}
	files  map[string]*ahead // by path in the image; the goroutine's until done
}

// Follow begins to hash the memory in Images while criu writes it. Commit and Abort end that; a second Follow does nothing.
func (w *Writer) Follow() {
	if w.follower != nil || w.isDone {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{cancel: cancel, done: make(chan struct{}), files: map[string]*ahead{}}
	w.follower = f
	go func() {
		defer close(f.done)
		for pause := followDelay; ; pause = followPause {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
				f.look(ctx, folder{w.images, nil})
			}
		}
	}()
}

// followed ends the following, and gives what has been hashed.
func (w *Writer) followed() map[string]*ahead {
	f := w.follower
	if f == nil {
		return nil
	}
	f.cancel()
	<-f.done
	return f.files
}

// look hashes what was written since the last look. What it cannot read somebody else will complain about.
func (f *follower) look(ctx context.Context, images folder) {
	entries, err := images.entries()
	if err != nil {
		return
	}
	for _, e := range entries {
		if !pagesName.MatchString(e.name) {
			continue
		}
		file, stat, err := images.regular(e.name)
		if err != nil {
			continue
		}
		name := imagesName + "/" + e.name
		a := f.files[name]
		if a == nil {
			a = &ahead{hash: sha256.New(), ino: stat.Ino}
			f.files[name] = a
		}
		if stat.Size > a.n {
			// To begin is enough: whether it comes to an end is asked at the commit.
			_ = unix.SyncFileRange(int(file.Fd()), a.n, stat.Size-a.n, unix.SYNC_FILE_RANGE_WRITE)
			_ = a.hashTo(ctx, file, stat.Size)
		}
		_ = file.Close()
	}
}

// hashTo hashes as far as a file is known to have been written.
func (a *ahead) hashTo(ctx context.Context, f *os.File, size int64) error {
	block := make([]byte, hashBlock)
	for a.n < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(block[:min(hashBlock, size-a.n)], a.n)
		a.hash.Write(block[:n])
		a.n += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// take is the hash to go on with: from its beginning if none was made ahead, or not of this file.
func take(all map[string]*ahead, name string, stat unix.Stat_t) *ahead {
	if a := all[name]; a != nil && a.ino == stat.Ino && a.n <= stat.Size {
		return a
	}
	return &ahead{hash: sha256.New()}
}
