package cgroup

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// instruction is one of BPF's, as struct bpf_insn has it.
type instruction struct {
	code     uint8
	dst, src uint8
	offset   int16
	imm      int32
}

// Registers of a device program. The kernel passes struct bpf_cgroup_dev_ctx in ctx (linux/bpf.h): access << 16 | type, major, minor.
const (
	verdict = 0
	ctx     = 1
	scratch = 2
	wanted  = 3 // the bits of access that no rule has decided yet
)

// deviceProgram compiles rules. The last rule comes first: what it allows is struck from what is wanted, and once nothing is left the
// verdict is yes; when it denies anything that is still wanted, the verdict is no. Each rule reads type and numbers anew, so that the
// kernel, which checks a program along every path through it, learns nothing from one rule that makes the next one another case.
func deviceProgram(rules []deviceRule) []instruction {
	program := []instruction{
		load(wanted, 0),
		{unix.BPF_ALU64 | unix.BPF_RSH | unix.BPF_K, wanted, 0, 0, 16},
		{unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K, wanted, 0, 0, int32(accessAll)},
	}
	for _, r := range slices.Backward(rules) {
		program = append(program, r.compile()...)
	}
	return append(program, answer(0)...)
}

func load(dst uint8, offset int16) instruction {
	return instruction{unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W, dst, ctx, offset, 0}
}

func answer(yes int32) []instruction {
	return []instruction{
		{unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K, verdict, 0, 0, yes},
		{code: unix.BPF_JMP | unix.BPF_EXIT},
	}
}

// compile is one rule: tests that jump over its end when they fail.
func (r deviceRule) compile() []instruction {
	end := r.end()
	var tests []instruction
	unequal := func(value int64) instruction {
		return instruction{unix.BPF_JMP32 | unix.BPF_JNE | unix.BPF_K, scratch, 0, 0, int32(uint32(value))}
	}
	if kind, ok := map[byte]int64{'b': unix.BPF_DEVCG_DEV_BLOCK, 'c': unix.BPF_DEVCG_DEV_CHAR}[r.kind]; ok {
		tests = append(tests, load(scratch, 0), instruction{unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K, scratch, 0, 0, 0xffff}, unequal(kind))
	}
	if r.major != anyNumber {
		tests = append(tests, load(scratch, 4), unequal(r.major))
	}
	if r.minor != anyNumber {
		tests = append(tests, load(scratch, 8), unequal(r.minor))
	}
	for i := range tests {
		if tests[i].code&0x07 == unix.BPF_JMP32 {
			tests[i].offset = int16(len(tests) - i - 1 + len(end))
		}
	}
	return append(tests, end...)
}

// end decides, or leaves what is wanted to the rules before.
func (r deviceRule) end() []instruction {
	if !r.allow {
		return append([]instruction{
			{unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, wanted, 0, 1, int32(r.access)},
			{unix.BPF_JMP | unix.BPF_JA, 0, 0, 2, 0},
		}, answer(0)...)
	}
	return append([]instruction{
		{unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K, wanted, 0, 0, ^int32(r.access)},
		{unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K, wanted, 0, 2, 0},
	}, answer(1)...)
}

// encode is the program as the kernel reads it.
func encode(program []instruction) []byte {
	code := make([]byte, 0, 8*len(program))
	for _, i := range program {
		registers := i.dst | i.src<<4 // bit fields of a little-endian machine: amd64, arm64
		code = append(code, i.code, registers)
		code = binary.NativeEndian.AppendUint16(code, uint16(i.offset))
		code = binary.NativeEndian.AppendUint32(code, uint32(i.imm))
	}
	return code
}
