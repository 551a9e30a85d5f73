package image

import (
	"cmp"
	"context"
	"crypto/sha256"
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

// hashAll hashes files, several at a time and the large ones first. isNew brings them to the disk before. The result is in the order of names.
func hashAll(ctx context.Context, dir folder, names []string, isNew bool) ([]hashed, error) {
	order, err := largestFirst(dir, names)
	if err != nil {
		return nil, err
	}
	list := make([]hashed, len(names))
	err = inParallel(ctx, len(order), func(i int) (err error) {
		list[order[i]], err = hashOne(ctx, dir, names[order[i]], isNew)
		return err
	})
	return list, err
}

// inParallel calls do for 0 to n-1, on all cores. The first error ends it.
func inParallel(ctx context.Context, n int, do func(int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(n, runtime.GOMAXPROCS(0)) {
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

// hashOne hashes one file.
func hashOne(ctx context.Context, dir folder, name string, isNew bool) (hashed, error) {
	f, before, err := dir.regular(name)
	if err != nil {
		return hashed{}, err
	}
	defer f.Close()
	if isNew {
		if err := dir.syncFile(f, name); err != nil {
			return hashed{}, err
		}
	}
	isSure := settle(before)
	h := hashed{file: file{Path: name}}
	if h.SHA256, h.Size, err = sum(ctx, f, before.Size); err != nil {
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
func sum(ctx context.Context, f *os.File, size int64) (string, int64, error) {
	hash := sha256.New()
	block := make([]byte, min(hashBlock, size+1))
	var n int64
	for n <= size {
		if err := ctx.Err(); err != nil {
			return "", n, err
		}
		read, err := f.ReadAt(block, n)
		hash.Write(block[:read])
		n += int64(read)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", n, err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), n, nil
}
