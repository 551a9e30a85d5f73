#include "go_asm.h"
#include "textflag.h"

// The child shares the parent's memory and stack pointer, and the parent is suspended until the child executes or
// exits. So the child keeps everything in registers: R19 the frame, R20 the record. The kernel preserves all registers but R0 (man 2 syscall).

#define SYS_exit_group 94

// CALL makes the system call of the record in R20.
#define CALL \
	MOVD (record_args+0)(R20), R0  \
	MOVD (R0), R0                  \
	MOVD (record_args+8)(R20), R1  \
	MOVD (R1), R1                  \
	MOVD (record_args+16)(R20), R2 \
	MOVD (R2), R2                  \
	MOVD (record_args+24)(R20), R3 \
	MOVD (R3), R3                  \
	MOVD (record_args+32)(R20), R4 \
	MOVD (R4), R4                  \
	MOVD (record_args+40)(R20), R5 \
	MOVD (R5), R5                  \
	MOVD record_nr(R20), R8        \
	SVC

// func spawn(f *frame) (result int)
TEXT ·spawn(SB), NOSPLIT|NOFRAME, $0-16
	MOVD f+0(FP), R19
	ADD  $frame_clone, R19, R20
	CALL
	CBZ  R0, child
	MOVD R0, result+8(FP)
	RET

child:
	MOVD frame_first(R19), R20

next:
	MOVD frame_end(R19), R9
	CMP  R9, R20
	BEQ  end
	MOVD R20, frame_current(R19)
	MOVD record_nr(R20), R9
	CMN  $1, R9
	BEQ  move
	CALL

store:
	MOVD R0, record_result(R20)
	MOVD record_out(R20), R9
	MOVD R0, (R9)
	CMN  $4095, R0
	BCS  error
	MOVD record_then(R20), R20
	B    next

move:
	MOVD (record_args+0)(R20), R9
	MOVD (record_args+8)(R20), R10
	MOVWU (R9), R9
	MOVW R9, (R10)
	MOVD $0, R0
	B    store

error:
	NEG  R0, R0
	CMP  $128, R0
	BCS  fail
	ADD  $record_accept, R20, R9
	LSR  $6, R0, R10
	MOVD (R9)(R10<<3), R9
	LSR  R0, R9, R9 // by R0 modulo 64
	TBZ  $0, R9, fail
	MOVD record_accepted(R20), R20
	B    next

fail:
	MOVD R20, frame_failed(R19)
	MOVD $127, R0
	B    exit

end:
	MOVD $0, R0

exit:
	MOVD $SYS_exit_group, R8
	SVC
	UNDEF // a filter of the program's refused the exit
