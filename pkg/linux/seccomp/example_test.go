package seccomp_test

import (
	"fmt"
	"log"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/linux/seccomp"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// What the filter of a container that says nothing does to some calls: allowed, an errno, or by argument.
func ExampleDefault() {
	arch := seccomp.Native()
	filter, err := seccomp.Compile(seccomp.Default(capability.Default), arch)
	if err != nil {
		log.Fatal(err)
	}
	for _, call := range []struct {
		name string
		arg  uint64
	}{{"read", 0}, {"mount", 0}, {"clone3", 0}, {"socket", unix.AF_INET}, {"socket", unix.AF_VSOCK}} {
		verdict, err := filter.Verdict(seccomp.Call{Arch: arch.Audit, Nr: arch.Calls[call.name], Args: [6]uint64{call.arg}})
		if err != nil {
			log.Fatal(err)
		}
		if verdict == seccomp.Allow {
			fmt.Println(call.name, call.arg, "allowed")
		} else {
			fmt.Println(call.name, call.arg, unix.ErrnoName(unix.Errno(verdict&unix.SECCOMP_RET_DATA)))
		}
	}
	// Output:
	// read 0 allowed
	// mount 0 EPERM
	// clone3 0 ENOSYS
	// socket 2 allowed
	// socket 40 EAFNOSUPPORT
}

// A profile has the meaning that other runtimes give it.
func ExampleFromProfile() {
	profile := spec.SeccompProfile{
		DefaultAction: spec.SeccompAllow,
		Syscalls: []spec.SeccompRule{
			{Names: []string{"chmod", "fchmodat"}, Action: spec.SeccompErrno},
			{Names: []string{"personality"}, Action: spec.SeccompErrno, ErrnoRet: spec.NewErrnoRet(22), Args: []spec.SeccompArg{{Index: 0, Op: spec.SeccompNotEqual, Value: 0}}},
		},
	}
	policy, archs, err := seccomp.FromProfile(profile, seccomp.Native())
	if err != nil {
		log.Fatal(err)
	}
	filter, err := seccomp.Compile(policy, archs...)
	if err != nil {
		log.Fatal(err)
	}
	ask := func(name string, arg uint64) seccomp.Action {
		verdict, err := filter.Verdict(seccomp.Call{Arch: archs[0].Audit, Nr: archs[0].Calls[name], Args: [6]uint64{arg}})
		if err != nil {
			log.Fatal(err)
		}
		return verdict
	}
	fmt.Println(ask("fchmodat", 0) == seccomp.Errno(unix.EPERM), ask("personality", 0) == seccomp.Allow, ask("personality", 8) == seccomp.Errno(unix.EINVAL))
	// Output: true true true
}
