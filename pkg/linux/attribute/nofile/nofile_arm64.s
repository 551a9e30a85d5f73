#include "textflag.h"

// func prlimit(l *Limit): prlimit64(0, RLIMIT_NOFILE, NULL, l)
TEXT ·prlimit(SB), NOSPLIT, $0-8
	MOVD ZR, R0
	MOVD $7, R1
	MOVD ZR, R2
	MOVD l+0(FP), R3
	MOVD $261, R8
	SVC
	RET
