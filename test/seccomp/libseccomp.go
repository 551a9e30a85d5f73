// Package seccomp has profiles compiled by libseccomp, as runc does, so that a test can hold pkg/linux/seccomp to the
// same verdicts. It knows libseccomp's interface; it refuses to know how the other filters are made.
package seccomp

/*
#cgo LDFLAGS: -lseccomp
#include <errno.h>
#include <stdlib.h>
#include <seccomp.h>

// Macros with arguments are beyond cgo.
static uint32_t action_errno(uint16_t n) { return SCMP_ACT_ERRNO(n); }
static uint32_t action_trace(uint16_t n) { return SCMP_ACT_TRACE(n); }
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// tokens are libseccomp's numbers of architectures.
var tokens = map[spec.SeccompArch]C.uint32_t{
	spec.SeccompX8664: C.SCMP_ARCH_X86_64, spec.SeccompX86: C.SCMP_ARCH_X86, spec.SeccompX32: C.SCMP_ARCH_X32,
	spec.SeccompAARCH64: C.SCMP_ARCH_AARCH64, spec.SeccompARM: C.SCMP_ARCH_ARM,
}

var comparisons = map[spec.SeccompOp]uint32{
	spec.SeccompNotEqual: C.SCMP_CMP_NE, spec.SeccompLess: C.SCMP_CMP_LT, spec.SeccompLessOrEqual: C.SCMP_CMP_LE,
	spec.SeccompEqual: C.SCMP_CMP_EQ, spec.SeccompGreaterOrEqual: C.SCMP_CMP_GE, spec.SeccompGreater: C.SCMP_CMP_GT,
	spec.SeccompMaskedEqual: C.SCMP_CMP_MASKED_EQ,
}

func action(word spec.SeccompAction, number spec.ErrnoRet) C.uint32_t {
	n := C.uint16_t(unix.EPERM)
	if !number.IsZero() {
		n = C.uint16_t(number.Value())
	}
	switch word {
	case spec.SeccompErrno:
		return C.action_errno(n)
	case spec.SeccompTrace:
		return C.action_trace(n)
	}
	return map[spec.SeccompAction]C.uint32_t{
		spec.SeccompKill: C.SCMP_ACT_KILL_THREAD, spec.SeccompKillThread: C.SCMP_ACT_KILL_THREAD,
		spec.SeccompKillProcess: C.SCMP_ACT_KILL_PROCESS, spec.SeccompTrap: C.SCMP_ACT_TRAP, spec.SeccompAllow: C.SCMP_ACT_ALLOW,
		spec.SeccompLog: C.SCMP_ACT_LOG, spec.SeccompNotify: C.SCMP_ACT_NOTIFY,
	}[word]
}

// Number is the number of a call for an architecture; false when it has none of its own, or libseccomp does not know it.
func Number(name string, arch spec.SeccompArch) (uint32, bool) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	nr := C.seccomp_syscall_resolve_name_arch(tokens[arch], text)
	return uint32(nr), nr >= 0 // others are numbers that only libseccomp itself understands
}

// Known tells whether libseccomp has a number for a name, of whatever architecture.
func Known(name string) bool {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	return C.seccomp_syscall_resolve_name(text) != C.__NR_SCMP_ERROR
}

// Compile has libseccomp compile a profile for a machine, with the calls that runc makes.
func Compile(p spec.SeccompProfile, native spec.SeccompArch) (seccomp.Filter, error) {
	denied := action(p.DefaultAction, p.DefaultErrnoRet)
	ctx := C.seccomp_init(denied)
	if ctx == nil {
		return nil, fmt.Errorf("seccomp_init")
	}
	defer C.seccomp_release(ctx)
	if err := setArchs(ctx, p.Architectures, native); err != nil {
		return nil, err
	}
	rules := 0
	for _, r := range p.Syscalls {
		rules += len(r.Names)
	}
	if rules > 32 {
		if rc := C.seccomp_attr_set(ctx, C.SCMP_FLTATR_CTL_OPTIMIZE, 2); rc < 0 {
			return nil, fmt.Errorf("optimise: %w", unix.Errno(-rc))
		}
	}
	for _, r := range p.Syscalls {
		then := action(r.Action, r.ErrnoRet)
		if then == denied {
			continue
		}
		for _, name := range r.Names {
			if err := addRule(ctx, then, name, r.Args); err != nil {
				return nil, fmt.Errorf("%s %v: %w", name, r.Args, err)
			}
		}
	}
	return export(ctx)
}

func setArchs(ctx C.scmp_filter_ctx, archs []spec.SeccompArch, native spec.SeccompArch) error {
	for _, arch := range append([]spec.SeccompArch{native}, archs...) {
		if rc := C.seccomp_arch_add(ctx, tokens[arch]); rc < 0 && rc != -C.EEXIST {
			return fmt.Errorf("add %s: %w", arch, unix.Errno(-rc))
		}
	}
	if tokens[native] != C.seccomp_arch_native() {
		if rc := C.seccomp_arch_remove(ctx, C.seccomp_arch_native()); rc < 0 {
			return fmt.Errorf("remove the native architecture: %w", unix.Errno(-rc))
		}
	}
	return nil
}

// addRule adds a rule; two conditions on one argument are rules of their own.
func addRule(ctx C.scmp_filter_ctx, then C.uint32_t, name string, args []spec.SeccompArg) error {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	nr := C.seccomp_syscall_resolve_name(text)
	if nr == C.__NR_SCMP_ERROR {
		return nil
	}
	seen := map[uint32]int{}
	var conditions []C.struct_scmp_arg_cmp
	for _, a := range args {
		conditions = append(conditions, C.struct_scmp_arg_cmp{
			arg: C.uint(a.Index), op: comparisons[a.Op], datum_a: C.scmp_datum_t(a.Value), datum_b: C.scmp_datum_t(a.ValueTwo),
		})
		seen[a.Index]++
	}
	if len(seen) == len(args) {
		return add(ctx, then, nr, conditions)
	}
	for _, c := range conditions {
		if err := add(ctx, then, nr, []C.struct_scmp_arg_cmp{c}); err != nil {
			return err
		}
	}
	return nil
}

func add(ctx C.scmp_filter_ctx, then C.uint32_t, nr C.int, conditions []C.struct_scmp_arg_cmp) error {
	if rc := C.seccomp_rule_add_array(ctx, then, nr, C.uint(len(conditions)), unsafe.SliceData(conditions)); rc < 0 {
		return unix.Errno(-rc)
	}
	return nil
}

func export(ctx C.scmp_filter_ctx) (f seccomp.Filter, err error) {
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "filter")
	defer file.Close()
	if rc := C.seccomp_export_bpf(ctx, C.int(fd)); rc < 0 {
		return nil, fmt.Errorf("export: %w", unix.Errno(-rc))
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	code, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	f = make(seccomp.Filter, len(code)/8)
	_, err = binary.Decode(code, binary.NativeEndian, f)
	return f, err
}
