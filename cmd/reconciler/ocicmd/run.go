package ocicmd

import (
	"errors"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

func (c *command) runContainer(f *flags, args []string) (int, error) {
	m := f.making()
	detach := f.yes("detach,d", "leave the container running, and return")
	keep := f.yes("keep", "do not remove the container at its end")
	f.yes("no-subreaper", "is taken, and changes nothing")
	args, err := f.parse(args, 1, 1)
	if err != nil {
		return 1, err
	}
	o, err := c.options(m)
	if err != nil {
		return 1, err
	}
	var signals chan os.Signal
	if !*detach {
		signals = heed()
	}
	running, err := c.Run(c.ctx, args[0], *m.bundle, *detach, o)
	closeAll(o.ExtraFiles)
	if err != nil {
		return 1, err
	}
	if *detach {
		return 0, nil
	}
	code, err := attend(signals, &running.Process, running.Master, running.Wait)
	if !*keep {
		heed() // none leaves half of it
		err = errors.Join(err, running.Delete(c.ctx))
	}
	return code, err
}

// closeAll closes what somebody else has by now, who may wait for its end.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// heed begins to collect signals, before there is somebody to pass them on to.
func heed() chan os.Signal {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	return signals
}

// attend goes on with a process in the foreground: signals are passed on, the terminal is this process's own.
func attend(signals chan os.Signal, p *process.Process, master *os.File, wait func() (process.Exit, error)) (int, error) {
	var terminal *terminal
	if master != nil {
		var err error
		if terminal, err = newTerminal(master); err != nil {
			_ = process.Signal(p.Pidfd, unix.SIGKILL)
			_, _ = wait()
			return 1, err
		}
	}
	ended, passed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(passed)
		// The runtime takes a millisecond for all of them, which is worth it for who lives longer.
		rest := time.NewTimer(10 * time.Millisecond)
		defer rest.Stop()
		for {
			select {
			case <-ended:
				return
			case <-rest.C:
				signal.Notify(signals)
			case s := <-signals:
				forward(p, terminal, s)
			}
		}
	}()
	exit, err := wait()
	close(ended)
	<-passed
	signal.Reset() // there is nobody to pass them on to, and our own output may be waited for
	terminal.close()
	return codeOf(exit), err
}

// forward passes a signal on, unless it is about this process.
func forward(p *process.Process, terminal *terminal, s os.Signal) {
	switch s {
	case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE: // its children's, the Go runtime's, its own output's
	case unix.SIGWINCH:
		terminal.resize()
	default:
		_ = process.Signal(p.Pidfd, s.(unix.Signal))
	}
}

// codeOf is the code that a shell would have.
func codeOf(e process.Exit) int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}
