// Package kerneltest helps tests that touch the real kernel: it skips them only through named probes,
// gives them a cgroup parent and a rootfs, and fails them when they leave something behind. It knows the
// machine; it refuses to know what is being tested.
package kerneltest

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
)

// Root skips the test without the privileges that containers need.
func Root(t testing.TB) {
	t.Helper()
	Require(t, feature.Privileges)
}

// Require skips the test when this host lacks one of the features. It fails it when the kernel is new
// enough and nothing in its configuration explains the lack, or when a probe cannot tell although it has every
// privilege: then the probe is wrong.
func Require(t testing.TB, features ...*feature.Feature) {
	t.Helper()
	for _, f := range features {
		skip, err := judge(f.Probe(), feature.Privileges.Probe(), kernelRelease())
		if err != nil {
			t.Fatal(err)
		}
		if skip != "" {
			t.Skip(skip)
		}
	}
}

// judge turns a probe's answer into the text of a skip, or an error. Skips begin alike so that a list can be made of them.
func judge(answer, privileges error, release string) (skip string, err error) {
	if _, ok := errors.AsType[*feature.InconclusiveError](answer); ok && privileges != nil {
		answer = privileges
	}
	unsupported, ok := errors.AsType[*feature.UnsupportedError](answer)
	switch {
	case answer == nil:
		return "", nil
	case !ok:
		return "", answer
	case unsupported.Reason != "":
		return fmt.Sprintf("skip: needs %s: %s", unsupported.Feature, unsupported.Reason), nil
	case unsupported.Since != "" && !olderThan(release, unsupported.Since):
		return "", fmt.Errorf("this is Linux %s, so %s of %s should be there: the probe is wrong", release, unsupported.Feature, unsupported.Since)
	}
	return fmt.Sprintf("skip: needs %s: Linux %s, this is %s", unsupported.Feature, unsupported.Since, release), nil
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "0.0"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// olderThan compares the first two numbers of kernel releases: 6.1.0-18-amd64 is older than 6.15.
func olderThan(release, since string) bool {
	major, minor := version(release)
	sinceMajor, sinceMinor := version(since)
	return major < sinceMajor || major == sinceMajor && minor < sinceMinor
}

func version(release string) (major, minor int) {
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor
}
