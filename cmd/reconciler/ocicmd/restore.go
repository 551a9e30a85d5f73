package ocicmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/criu"
	"github.com/seed31d4122e/reconciler/pkg/linux/namespace"
	"github.com/seed31d4122e/reconciler/pkg/linux/oci"
	"github.com/seed31d4122e/reconciler/pkg/linux/start"
	"github.com/seed31d4122e/reconciler/pkg/linux/survey"
)

func (c *command) restore(f *flags, args []string) (int, error) {
	i := f.imaging()
	bundle := f.text("bundle,b", "DIR", ".", "directory with config.json (default the working directory)")
	socket := f.text("console-socket", "PATH", "", "unix socket that gets the master of the terminal")
	pidFile := f.text("pid-file", "FILE", "", "file that gets the number of the first process")
	detach := f.yes("detach,d", "leave the container running, and return")
	f.yes("no-subreaper", "is taken, and changes nothing")
	noPivot := f.yes("no-pivot", "is refused: criu changes the root by pivot_root(2)")
	profile := f.text("lsm-profile", "TYPE:NAME", "", "security label of the processes (default the image's)")
	label := f.text("lsm-mount-context", "CONTEXT", "", "SELinux context of file systems (default the image's)")
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	if *noPivot {
		return 1, fmt.Errorf("--no-pivot is not supported: criu changes the root by pivot_root(2): %w", errors.ErrUnsupported)
	}
	o, err := i.options(c.debug)
	if err != nil {
		return 1, err
	}
	o.LSMProfile, o.LSMMountContext = *profile, *label
	o.SiblingOfCaller, o.WeakSysctls = true, true
	tool, err := c.tool()
	if err != nil {
		return 1, err
	}
	if err := i.open(&o, false); err != nil {
		return 1, fmt.Errorf("cannot use the image: %w", err)
	}
	defer closeDirs(o)
	var signals chan os.Signal
	if !*detach {
		signals = heed()
	}
	r := &restoring{tool: tool, options: o}
	container := oci.Options{Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, ConsoleSocket: *socket, PidFile: *pidFile, NotifySocket: os.Getenv("NOTIFY_SOCKET")}
	if r.Restoring, err = c.OpenRestore(c.ctx, args[0], *bundle, *detach, container); err != nil {
		return 1, err
	}
	running, err := r.run(c.ctx)
	if err != nil {
		return 1, r.Undo(c.ctx, err)
	}
	if *detach {
		return 0, nil
	}
	code, err := attend(signals, &running.Process, running.Master, running.Wait)
	heed() // none leaves half of it
	return code, errors.Join(err, running.Delete(c.ctx))
}

// restoring is a container that is being restored.
type restoring struct {
	*oci.Restoring
	tool    criu.Tool
	options criu.Options
	files   []string // that criu finds, from firstFile on
	master  *os.File // of the terminal that the processes have
}

// run has criu make the processes.
func (r *restoring) run(ctx context.Context) (*oci.Running, error) {
	if err := r.prepare(); err != nil {
		return nil, err
	}
	patience, err := r.patience()
	if err != nil {
		return nil, err
	}
	o := r.options
	if o.WorkDir == nil {
		o.WorkDir = o.ImagesDir
	}
	if r.OwnUsers {
		view, remove, err := openView(o.ImagesDir)
		if err != nil {
			return nil, err
		}
		defer remove()
		o.ImagesDir = view
	}
	limited, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("criu is not done after %v: %w", patience, context.DeadlineExceeded))
	defer cancel()
	conn, theirs, err := criu.Pair()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	err = r.Start(limited, start.Tool{Argv: r.tool.Command(firstFile), Files: r.files}, map[string]*os.File{fileSocket: theirs})
	if err := errors.Join(err, theirs.Close()); err != nil {
		return nil, err
	}
	conn.Kill = r.Kill
	root, mounts, err := r.Mounts()
	if err != nil {
		return nil, err
	}
	o.Root = root
	for _, key := range slices.Sorted(maps.Keys(mounts)) {
		o.Externals = append(o.Externals, criu.Mount(key, mounts[key]))
	}
	_, err = conn.Restore(limited, o, criu.Notify{
		SetupNamespaces: func(pid int) error { return r.Enter(limited, pid) },
		PostRestore:     r.Adopt,
		OrphanPTSMaster: r.takeMaster,
	})
	if err != nil {
		closeAll(r.masters())
		return nil, err
	}
	_ = conn.Close() // criu ends then
	return r.Commit(limited, r.master)
}

func (r *restoring) takeMaster(master *os.File) error {
	if r.master != nil {
		return errors.Join(fmt.Errorf("the image has two terminals without a master: %w", fs.ErrInvalid), master.Close())
	}
	r.master = master
	return nil
}

func (r *restoring) masters() []*os.File {
	if r.master == nil {
		return nil
	}
	return []*os.File{r.master}
}

// prepare says what stands for what the image has not got: the caller's stdio for its pipes, and namespaces.
func (r *restoring) prepare() error {
	o := &r.options
	o.Inherit = map[string]int{}
	r.files = []string{fileSocket}
	text, err := readIn(o.ImagesDir, oci.DescriptorsFile)
	if err != nil {
		return fmt.Errorf("cannot use the image: %w", err)
	}
	var links []string
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("cannot use %s of the image: %v: %w", oci.DescriptorsFile, err, fs.ErrInvalid)
	}
	for fd, link := range links {
		if fd < firstFile && strings.HasPrefix(link, "pipe:") {
			o.Inherit[link] = fd
		}
	}
	if err := r.external(); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Joined)) {
		switch kind {
		case namespace.FileNet:
			o.Inherit[keyNetwork] = r.file(kind)
		case namespace.FileUTS, namespace.FileIPC, namespace.FileTime:
			o.JoinNamespaces = append(o.JoinNamespaces, criu.JoinNamespace{Kind: kind, Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.Joined[kind].Fd())})
		}
	}
	return nil
}

// external finds what stands for files of the node.
func (r *restoring) external() error {
	text, err := readIn(r.options.ImagesDir, oci.ExternalFile)
	if errors.Is(err, fs.ErrNotExist) { // another runtime's, or none
		return nil
	}
	if err != nil {
		return err
	}
	external, err := oci.ParseExternal(text)
	if err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(external.Files)) {
		if name := external.Files[file]; name != survey.Null {
			r.options.Inherit[file] = slices.Index(oci.StdioNames[:], name)
			continue
		}
		r.options.Inherit[file] = r.file(survey.Null)
	}
	return nil
}

// file is the number by which criu finds a file.
func (r *restoring) file(name string) int {
	if !slices.Contains(r.files, name) {
		r.files = append(r.files, name)
	}
	return firstFile + slices.Index(r.files, name)
}

// How long a restore may take: a start, and reading its memory from a slow disk. An image that is torn can keep criu busy for ever.
const (
	restorePatience = 30 * time.Second
	slowestRead     = 20 << 20 // bytes a second
)

func (r *restoring) patience() (time.Duration, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", r.options.ImagesDir.Fd()))
	if err != nil {
		return 0, err
	}
	size := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return restorePatience + time.Duration(size)*time.Second/slowestRead, nil
}

// maxText bounds the files of an image that are read here.
const maxText = 1 << 20

// readIn reads a regular file of a directory.
func readIn(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no regular file: %w", name, fs.ErrInvalid), err)
	}
	return io.ReadAll(io.LimitReader(f, maxText))
}
