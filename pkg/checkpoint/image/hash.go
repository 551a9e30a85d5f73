package image

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pageSize is that of criu's images, on each architecture we know.
	pageSize = 4096
	// hashBlock is how much is read at a time; between two blocks a context may end.
	hashBlock = 1 << 20
	// clockTick is longer than the kernel's coarse clock stands still: a file that was changed longer ago gets another time by the next change.
	clockTick = 20 * time.Millisecond
	// waitFloor is from which size on it pays to wait for that.
	waitFloor = 32 << 20
)

// hashed is a file with its hash, and the state of the file that it is of; zero when the next change might not show.
type hashed struct {
	file
	of stamp
}

// hashAll hashes files, several at a time and the large ones first. The result is in the order of names.
func hashAll(ctx context.Context, dir folder, names []string) ([]hashed, error) {
	order, err := largestFirst(dir, names)
	if err != nil {
		return nil, err
	}
	list := make([]hashed, len(names))
	err = inParallel(ctx, len(order), runtime.GOMAXPROCS(0), func(i int) (err error) {
		list[order[i]], err = hashOne(ctx, dir, names[order[i]], nil)
		return err
	})
	return list, err
}

// syncers is how many files are brought to the disk at a time: each waits for the same few writes of the file system's journal.
const syncers = 8

// hashNew hashes files that were just written, some of them ahead, and brings them to the disk meanwhile.
func hashNew(ctx context.Context, dir folder, names []string, all map[string]*ahead) ([]hashed, error) {
	order, err := largestFirst(dir, names)
	if err != nil {
		return nil, err
	}
	for _, i := range order {
		if err := beginSync(dir, names[i]); err != nil {
			return nil, err
		}
	}
	list := make([]hashed, len(names))
	err = inParallel(ctx, len(order), syncers, func(i int) (err error) {
		list[order[i]], err = hashOne(ctx, dir, names[order[i]], &all)
		return err
	})
	return list, err
}

// beginSync has the kernel begin to write a file.
func beginSync(dir folder, name string) error {
	f, _, err := dir.regular(name)
	if err != nil {
		return err
	}
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // which some file systems cannot
	return f.Close()
}

// inParallel calls do for 0 to n-1, several at a time. The first error ends it.
func inParallel(ctx context.Context, n, workers int, do func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(n, workers) {
		wait.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wait.Wait()
	return context.Cause(ctx)
}

// largestFirst orders files so that the last one to end is a small one.
func largestFirst(dir folder, names []string) ([]int, error) {
	sizes, order := make([]int64, len(names)), make([]int, len(names))
	for i, name := range names {
		st, err := statAt(dir, name)
		if err != nil {
			return nil, err
		}
		sizes[i], order[i] = st.Size, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	return order, nil
}

// hashOne hashes one file. A new one, for which there may be a hash ahead, is brought to the disk meanwhile.
func hashOne(ctx context.Context, dir folder, name string, all *map[string]*ahead) (hashed, error) {
	f, before, err := dir.regular(name)
	if err != nil {
		return hashed{}, err
	}
	defer f.Close()
	a, synced := take(nil, name, before), make(chan error, 1)
	if all != nil {
		a = take(*all, name, before)
		go func() { synced <- dir.syncFile(f, name) }()
	} else {
		synced <- nil
	}
	isSure := settle(before)
	h := hashed{file: file{Path: name}}
	h.SHA256, h.Size, err = a.sum(ctx, f, before.Size)
	if err := errors.Join(err, <-synced); err != nil {
		return hashed{}, err
	}
	var after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &after); err != nil {
		return hashed{}, err
	}
	if isSure && stampOf(after) == stampOf(before) {
		h.of = stampOf(after)
	}
	return h, nil
}

// settle tells whether each further change of a file will show in its time, and waits for that where it pays.
func settle(stat unix.Stat_t) bool {
	age := time.Since(time.Unix(stat.Ctim.Unix()))
	if age >= 0 && age < clockTick && stat.Size >= waitFloor {
		time.Sleep(clockTick - age)
		return true
	}
	return age >= clockTick
}

// sum hashes what a file has, of which it is known how much that is: one byte more is the end of it.
func (a *ahead) sum(ctx context.Context, f *os.File, size int64) (string, int64, error) {
	block := make([]byte, min(hashBlock, size-a.n+1))
	for a.n <= size {
		if err := ctx.Err(); err != nil {
			return "", a.n, err
		}
		read, err := f.ReadAt(block, a.n)
		a.hash.Write(block[:read])
		a.n += int64(read)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", a.n, err
		}
	}
	return hex.EncodeToString(a.hash.Sum(nil)), a.n, nil
}
