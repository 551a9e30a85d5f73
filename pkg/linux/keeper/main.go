package keeper

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// The keeper lives long and does little, so memory counts and speed of collection does not.
const (
	gcPercent   = 50
	memoryLimit = 48 << 20
	threads     = 2
	// processName is what ps(1) shows.
	processName = "reconciler"
	// oomScore keeps the keeper alive longer than what it keeps, where it may be set.
	oomScore = -900
)

// Exit codes of Main.
const (
	exitOK    = 0
	exitError = 1
)

// Main is the hidden verb `reconciler keeper --run-dir DIR`; args are what follows the verb. It returns the exit code. Until
// it is ready it complains to standard error; then it closes that, and talks to its log file only.
func Main(args []string) int {
	flags := flag.NewFlagSet("keeper", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	runDir := flags.String("run-dir", "/run/reconciler", "the node's run directory")
	resume := flags.Int("resume", -1, "the descriptor of a predecessor's handover")
	check := flags.Int("check", 0, "only tell whether a handover of this version is understood")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return complain(errors.Join(errors.New("usage: keeper --run-dir DIR"), err))
	}
	if *check != 0 {
		if *check != handoverVersion {
			return complain(fmt.Errorf("handover version %d is unknown: %w", *check, errors.ErrUnsupported))
		}
		return exitOK
	}
	if err := keep(*runDir, os.Args[:len(os.Args)-len(args)], *resume); err != nil {
		return complain(err)
	}
	return exitOK
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return exitError
}

// keep prepares the process and runs the keeper in it.
func keep(runDir string, argv []string, resume int) error {
	if err := reseal(); err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	runtime.GOMAXPROCS(threads)
	unix.Umask(0o077)
	if err := process.Harden(); err != nil {
		return err
	}
	os.WriteFile("/proc/self/comm", []byte(processName), 0)                     // it was executed by a descriptor, and has its number for a name
	os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(oomScore)), 0) // needs CAP_SYS_RESOURCE
	raiseFiles()
	var from *handover
	if resume >= 0 {
		var err error
		if from, err = readHandover(resume); err != nil {
			return err
		}
	}
	stored := openStore()
	// What the starter left open without meaning to must not reach containers.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot close what was inherited: %w", err)
	}
	// A handler, unlike SIG_IGN, is not inherited by containers.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE, unix.SIGHUP)
	if err := process.DefaultSignals(); err != nil {
		return err
	}

	cfg := Config{RunDir: runDir}
	file := &boundedFile{path: cfg.path(logFile)}
	cfg.Log = logr.FromSlogHandler(slog.NewJSONHandler(file, nil))
	err := run(ctx, cfg, argv, from, stored, func() {
		file.catchPanics()
		silence()
		cfg.Log.Info("keeping containers", "pid", os.Getpid(), "build", BuildID("/proc/self/exe"))
		stored.tell("READY=1")
	})
	if err != nil && !errors.Is(err, errLocked) {
		cfg.Log.Error(err, "keeper failed")
	}
	return err
}

// silence turns standard output and error into /dev/null, which tells whoever started the keeper that it is ready.
func silence() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for _, fd := range []int{syscall.Stdout, syscall.Stderr} {
		unix.Dup3(int(null.Fd()), fd, 0)
	}
}
