#include "textflag.h"

// func prlimit(l *Limit): prlimit64(0, RLIMIT_NOFILE, NULL, l)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVQ $0, DI
	MOVQ $7, SI
	MOVQ $0, DX
	MOVQ l+0(FP), R10
	MOVQ $302, AX
	SYSCALL
	RET
