package source_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/reconcile/source"
)

// scenario is one way to change a directory. At the end of each round it has keep as it was, and x at the round's version.
type scenario struct {
	name  string
	do    func(v *victim)
	setup func(v *victim) // nil: both containers in files of their own
	watch source.Watch
}

// scenarios are all ways that came to mind.
var scenarios = []scenario{
	{name: "rename into, as rsync does", do: func(v *victim) { v.put(v.path, "x.yaml", "x", v.round) }},
	{name: "truncate and write", do: func(v *victim) { v.overwrite(v.at("x.yaml"), os.O_TRUNC, text("x", v.round)) }},
	{name: "rsync --inplace", do: func(v *victim) { v.overwrite(v.at("x.yaml"), 0, text("x", v.round)) }},
	{name: "append in pieces", do: func(v *victim) {
		f, err := os.OpenFile(v.at("x.yaml"), os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0)
		v.must(err)
		for _, b := range text("x", v.round) {
			_, err := f.Write([]byte{b})
			v.must(err)
			time.Sleep(time.Millisecond)
		}
		v.must(f.Close())
	}},
	{name: "a writer that stays", do: func(v *victim) {
		f, err := os.OpenFile(v.at("x.yaml"), os.O_WRONLY|os.O_TRUNC, 0)
		v.must(err)
		_, err = f.Write(text("x", v.round))
		v.must(err)
		time.Sleep(10 * tick)
		v.must(f.Close())
	}},
	{name: "a second document follows the first", setup: twoDocuments, do: func(v *victim) {
		v.overwrite(v.at("both.yaml"), os.O_TRUNC, append(append(text("x", v.round), "---\n"...), text("keep", 0)...))
	}},
	{name: "mmap", do: func(v *victim) {
		f, err := os.OpenFile(v.at("x.yaml"), os.O_RDWR, 0)
		v.must(err)
		content := text("x", v.round)
		page, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		v.must(err, f.Close())
		copy(page[:len(content)/2], content)
		time.Sleep(tortureRescan + 5*tick) // it is read, and looks old; what follows changes no time stamp
		copy(page, content)
		v.must(unix.Munmap(page))
	}},
	{name: "git-sync's link", setup: func(v *victim) {
		v.fill(filepath.Join(v.base, fmt.Sprintf(".worktrees/%040x", 0)), 0)
		v.must(os.Symlink(fmt.Sprintf(".worktrees/%040x", 0), v.path))
	}, do: func(v *victim) {
		tree := fmt.Sprintf(".worktrees/%040x", v.round)
		v.fill(filepath.Join(v.base, tree), v.round)
		v.must(os.Symlink(tree, v.path+".new"), os.Rename(v.path+".new", v.path))
		v.must(os.RemoveAll(filepath.Join(v.base, fmt.Sprintf(".worktrees/%040x", v.round-1))))
	}},
	{name: "..data", setup: func(v *victim) {
		v.fill(v.at("..0"), 0)
		v.must(os.Symlink("..0", v.at("..data")))
		v.must(os.Symlink("..data/x.yaml", v.at("x.yaml")), os.Symlink("..data/keep.yaml", v.at("keep.yaml")))
	}, do: func(v *victim) {
		v.fill(v.at(fmt.Sprintf("..%d", v.round)), v.round)
		v.must(os.Symlink(fmt.Sprintf("..%d", v.round), v.at("..data_tmp")), os.Rename(v.at("..data_tmp"), v.at("..data")))
		v.must(os.RemoveAll(v.at(fmt.Sprintf("..%d", v.round-1))))
	}},
	{name: "removed and made again", do: func(v *victim) {
		v.must(os.RemoveAll(v.path))
		time.Sleep(tick)
		v.briefly(func() { v.fill(v.path, v.round) })
	}},
	{name: "removed, and empty for long", do: func(v *victim) {
		v.must(os.RemoveAll(v.path), os.Mkdir(v.path, 0o755))
		time.Sleep(15 * tick)
		v.briefly(func() { v.fill(v.path, v.round) })
	}},
	{name: "moved away, and another in", do: func(v *victim) {
		v.fill(v.path+".new", v.round)
		v.must(os.Rename(v.path, v.path+".old"))
		time.Sleep(tick)
		v.must(os.Rename(v.path+".new", v.path), os.RemoveAll(v.path+".old"))
	}},
	{name: "exchanged with another", do: func(v *victim) {
		v.fill(v.path+".new", v.round)
		v.must(unix.Renameat2(unix.AT_FDCWD, v.path+".new", unix.AT_FDCWD, v.path, unix.RENAME_EXCHANGE), os.RemoveAll(v.path+".new"))
	}},
	{name: "chmod away and back", do: func(v *victim) {
		v.must(os.Chmod(v.path, 0o777), os.Chmod(v.at("keep.yaml"), 0o666))
		time.Sleep(tick)
		v.put(v.path, "x.yaml", "x", v.round)
		v.must(os.Chmod(v.path, 0o755))
		time.Sleep(tick)
		v.must(os.Chmod(v.at("keep.yaml"), 0o644))
	}},
	{name: "vim with a backup", do: func(v *victim) {
		v.must(os.WriteFile(v.at("4913"), nil, 0o644), os.Remove(v.at("4913")), os.WriteFile(v.at(".x.yaml.swp"), nil, 0o644))
		v.briefly(func() {
			v.must(os.Rename(v.at("x.yaml"), v.at("x.yaml~")), os.WriteFile(v.at("x.yaml"), nil, 0o644))
		})
		v.overwrite(v.at("x.yaml"), 0, text("x", v.round))
		v.must(os.Remove(v.at("x.yaml~")), os.Remove(v.at(".x.yaml.swp")))
	}},
	{name: "emacs with a lock", do: func(v *victim) {
		v.must(os.Symlink("root@host.1:2", v.at(".#x.yaml")), os.WriteFile(v.at("#x.yaml#"), []byte("{"), 0o644))
		v.put(v.path, "x.yaml", "x", v.round)
		v.must(os.Remove(v.at(".#x.yaml")), os.Remove(v.at("#x.yaml#")))
	}},
	{name: "a hard link in its place", do: func(v *victim) {
		v.must(os.WriteFile(v.at(".n"), text("x", v.round), 0o644), os.Link(v.at(".n"), v.at(".l")))
		v.must(os.Rename(v.at(".l"), v.at("x.yaml")))
		time.Sleep(tick)
		v.briefly(func() { v.must(os.Remove(v.at("x.yaml")), os.Link(v.at(".n"), v.at("x.yaml")), os.Remove(v.at(".n"))) })
	}},
	{name: "git checkout", do: func(v *victim) {
		for name, content := range map[string][]byte{"x.yaml": text("x", v.round), "keep.yaml": text("keep", 0)} {
			v.briefly(func() { v.must(os.Remove(v.at(name)), os.WriteFile(v.at(name), content, 0o644)) })
		}
	}},
	{name: "20,000 writes", do: func(v *victim) {
		var files []*os.File
		for name, content := range map[string][]byte{"x.yaml": text("x", v.round), "keep.yaml": text("keep", 0)} {
			f, err := os.OpenFile(v.at(name), os.O_WRONLY, 0)
			v.must(err)
			defer f.Close()
			_, err = f.Write(content)
			v.must(err)
			files = append(files, f)
		}
		for i := range 20_000 { // no two events in a row are the same, so that each takes a place in the queue
			_, err := files[i%2].WriteAt(fmt.Appendf(nil, "# %05d\n", i), 200)
			v.must(err)
		}
		for _, f := range files { // no zeros between
			v.must(f.Truncate(int64(len(text("x", 0)) + len("eep") + 10)))
		}
		v.must(os.WriteFile(v.at("x.yaml"), text("x", v.round), 0o644), os.WriteFile(v.at("keep.yaml"), text("keep", 0), 0o644))
	}},
	{name: "a file system over it", do: func(v *victim) {
		v.must(unix.Mount("tmpfs", v.path, "tmpfs", 0, "size=64k,mode=755"))
		time.Sleep(tick)
		v.must(unix.Unmount(v.path, unix.MNT_DETACH))
		v.put(v.path, "x.yaml", "x", v.round)
	}},
	{name: "a link's target is edited", setup: func(v *victim) {
		v.fill(v.path, 0)
		v.must(os.Mkdir(v.at("targets"), 0o755), os.Rename(v.at("x.yaml"), v.at("targets/x")), os.Symlink("targets/x", v.at("x.yaml")))
	}, do: func(v *victim) { v.overwrite(v.at("targets/x"), os.O_TRUNC, text("x", v.round)) }},
	{name: "a file in the directory's place", do: func(v *victim) {
		v.must(os.Rename(v.path, v.path+".away"), os.WriteFile(v.path, []byte("no directory"), 0o644))
		time.Sleep(tick)
		v.must(os.Remove(v.path), os.Rename(v.path+".away", v.path))
		v.put(v.path, "x.yaml", "x", v.round)
	}},
	{name: "no watch to be had", watch: source.WatchNever, do: func(v *victim) { v.put(v.path, "x.yaml", "x", v.round) }},
	{name: "other cases and extensions", do: func(v *victim) {
		for _, step := range [][2]string{{"x.yaml", "X.yaml"}, {"X.yaml", "x.yml"}, {"x.yml", "x.json"}, {"x.json", "x.yaml"}} {
			v.must(os.Rename(v.at(step[0]), v.at(step[1])))
			time.Sleep(tick)
		}
		v.put(v.path, "x.yaml", "x", v.round)
	}},
	{name: "no files at all", do: func(v *victim) {
		for _, mode := range []uint32{unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR} {
			v.must(unix.Mknod(v.at(".odd"), mode|0o600, int(unix.Mkdev(1, 3))))
			v.must(os.Rename(v.at(".odd"), v.at("x.yaml")))
			time.Sleep(tick)
		}
		v.put(v.path, "x.yaml", "x", v.round)
	}},
	{name: "from one file into another", do: func(v *victim) {
		from, to := "x.yaml", "y.yaml"
		if _, err := os.Lstat(v.at(from)); errors.Is(err, os.ErrNotExist) {
			from, to = to, from
		}
		v.briefly(func() {
			v.must(os.Remove(v.at(from)))
			time.Sleep(tick)
			v.put(v.path, to, "x", v.round)
		})
	}},
	{name: "in both files for a while", do: func(v *victim) {
		v.put(v.path, "y.yaml", "x", v.round)
		time.Sleep(tick)
		v.must(os.Remove(v.at("x.yaml")))
		time.Sleep(tick)
		v.must(os.Rename(v.at("y.yaml"), v.at("x.yaml")))
	}},
}

func twoDocuments(v *victim) {
	v.must(os.Mkdir(v.path, 0o755))
	v.must(os.WriteFile(v.at("both.yaml"), append(append(text("x", 0), "---\n"...), text("keep", 0)...), 0o644))
}
