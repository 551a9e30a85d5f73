package ocicmd_test

import "syscall"

const sigterm = syscall.SIGTERM
