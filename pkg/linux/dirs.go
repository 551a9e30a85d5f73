package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// agentLock is locked, flock(2), in each directory that only one agent may use; its text is the agent's pid.
const agentLock = "agent.lock"

// openDirs makes the node's directories where they are missing, refuses those that others could have filled, and takes the run and
// the state directory for this agent. What is in them is believed; so they are as much the agent's own as its binary.
func (n *Node) openDirs() error {
	dirs := []struct {
		path string
		mode os.FileMode
		flag string // the flag of the agent that names another; also: locked
	}{
		{n.cfg.StateDir, 0o700, "--state-dir"},
		{n.cfg.RunDir, 0o755, ""},
		{n.stateDir(""), 0o700, "--run-dir"},
		{n.cfg.LogDir, 0o750, ""},
	}
	for _, dir := range dirs {
		if err := ownDir(dir.path, dir.mode); err != nil {
			return err
		}
		if dir.flag == "" {
			continue
		}
		lock, err := lockDir(dir.path, dir.flag)
		if err != nil {
			return err
		}
		n.locks = append(n.locks, lock)
	}
	return nil
}

// ownDir makes a directory, or makes sure that the one there belongs to this user and that nobody else may write to it.
func ownDir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("cannot make directory: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("cannot use directory %s: %w", path, err)
	}
	if uid := os.Geteuid(); int(st.Uid) != uid || st.Mode&0o022 != 0 {
		return fmt.Errorf("cannot use directory %s: others may write to it (owner %d, mode %04o): %w\nhint: chown %d %s && chmod go-w %s, or name another directory",
			path, st.Uid, st.Mode&0o7777, os.ErrPermission, uid, path, path)
	}
	return nil
}

// lockPatience is how long a lock may outlive its agent: a child that has not executed its program yet has open what a killed agent had.
const lockPatience = time.Second

// lockDir takes a directory for as long as the lock is open.
func lockDir(dir, flag string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, agentLock), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 100) {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		text := make([]byte, 20)
		size, _ := f.ReadAt(text, 0)
		pid, _ := strconv.Atoi(string(text[:size]))
		if pid > 0 && time.Now().Before(end) && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		err := fmt.Errorf("another agent, pid %s, uses %s\nhint: stop it, or give this one a %s of its own", text[:size], dir, flag)
		return nil, errors.Join(&classed{err, unix.EBUSY}, f.Close())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprint(f, os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	return f, nil
}
