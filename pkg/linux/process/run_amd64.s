#include "go_asm.h"
#include "textflag.h"

// The child shares the parent's memory and stack pointer, and the parent is suspended until the child executes or
// exits. So the child keeps everything in registers: R12 the frame, BX the record. The kernel preserves all registers but AX, CX and R11 (man 2 syscall).

#define SYS_exit_group 231

// CALL makes the system call of the record in BX.
#define CALL \
	MOVQ (record_args+0)(BX), DI  \
	MOVQ (DI), DI                 \
	MOVQ (record_args+8)(BX), SI  \
	MOVQ (SI), SI                 \
	MOVQ (record_args+16)(BX), DX \
	MOVQ (DX), DX                 \
	MOVQ (record_args+24)(BX), R10 \
	MOVQ (R10), R10               \
	MOVQ (record_args+32)(BX), R8 \
	MOVQ (R8), R8                 \
	MOVQ (record_args+40)(BX), R9 \
	MOVQ (R9), R9                 \
	MOVQ record_nr(BX), AX        \
	SYSCALL

// func spawn(f *frame) (result int)
TEXT ·spawn(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ  f+0(FP), R12
	LEAQ  frame_clone(R12), BX
	CALL
	TESTQ AX, AX
	JZ    child
	MOVQ  AX, result+8(FP)
	RET

child:
	MOVQ frame_first(R12), BX

next:
	CMPQ BX, frame_end(R12)
	JEQ  end
	MOVQ BX, frame_current(R12)
	CMPQ record_nr(BX), $-1
	JEQ  move
	CALL

store:
	MOVQ AX, record_result(BX)
	MOVQ record_out(BX), CX
	MOVQ AX, (CX)
	CMPQ AX, $-4095
	JCC  error
	MOVQ record_then(BX), BX
	JMP  next

move:
	MOVQ (record_args+0)(BX), SI
	MOVQ (record_args+8)(BX), DI
	MOVL (SI), AX
	MOVL AX, (DI)
	XORL AX, AX
	JMP  store

error:
	NEGQ AX
	CMPQ AX, $128
	JCC  fail
	BTQ  AX, record_accept(BX) // a bit string in memory: bits 0 to 127
	JCC  fail
	MOVQ record_accepted(BX), BX
	JMP  next

fail:
	MOVQ BX, frame_failed(R12)
	MOVQ $127, DI
	JMP  exit

end:
	XORL DI, DI

exit:
	MOVQ $SYS_exit_group, AX
	SYSCALL
	UD2 // a filter of the program's refused the exit
