package criu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"runtime"
)

// The program of a trial is as small as a program can be, so that a trial is about criu and not about what it dumps: it counts, and sleeps for a millisecond
// after each number. The count is at counterAddress.
//
//	*(long *)counterAddress++; nanosleep(&{0, 1000000}, NULL); again
const (
	codeAddress    = 0x400000
	counterAddress = 0x500000 // the time to sleep follows at +8
	dataSize       = 0x1000
	alignment      = 0x10000 // of the largest pages
)

// waiterCode is that in machine code.
var waiterCode = map[string]struct {
	machine uint16 // EM_X86_64 and EM_AARCH64 of elf(5)
	code    []byte
}{
	"amd64": {62, []byte{
		0xbb, 0x00, 0x00, 0x50, 0x00, // mov ebx, counterAddress
		0xc7, 0x43, 0x10, 0x40, 0x42, 0x0f, 0x00, // mov dword [rbx+16], 1000000
		0x48, 0xff, 0x03, // inc qword [rbx]
		0x48, 0x8d, 0x7b, 0x08, // lea rdi, [rbx+8]
		0x31, 0xf6, // xor esi, esi
		0xb8, 0x23, 0x00, 0x00, 0x00, // mov eax, 35 (nanosleep)
		0x0f, 0x05, // syscall
		0xeb, 0xee, // jmp to the inc
	}},
	"arm64": {183, words(
		0xd2a00a13, // movz x19, #0x50, lsl #16
		0xd2884802, // movz x2, #0x4240
		0xf2a001e2, // movk x2, #0xf, lsl #16
		0xf9000a62, // str x2, [x19, #16]
		0xf9400261, // ldr x1, [x19]
		0x91000421, // add x1, x1, #1
		0xf9000261, // str x1, [x19]
		0x91002260, // add x0, x19, #8
		0xd2800001, // movz x1, #0
		0xd2800ca8, // movz x8, #101 (nanosleep)
		0xd4000001, // svc #0
		0x17fffff9, // b to the ldr
	)},
}

func words(all ...uint32) (code []byte) {
	for _, w := range all {
		code = binary.LittleEndian.AppendUint32(code, w)
	}
	return code
}

// header is Elf64_Ehdr of elf(5), segment is Elf64_Phdr. Package debug/elf has them too, and brings three decompressors.
type header struct {
	Ident                                                [16]byte
	Type, Machine                                        uint16
	Version                                              uint32
	Entry, Phoff, Shoff                                  uint64
	Flags                                                uint32
	Ehsize, Phentsize, Phnum, Shentsize, Shnum, Shstrndx uint16
}

type segment struct {
	Type, Flags                             uint32
	Off, Vaddr, Paddr, Filesz, Memsz, Align uint64
}

// waiter is the program as an executable file: one segment with headers and code, one with zeros.
func waiter(arch string) ([]byte, error) {
	of, ok := waiterCode[arch]
	if !ok {
		return nil, fmt.Errorf("there is no program for %s: %w", arch, fs.ErrInvalid)
	}
	const headers = 64 + 2*56
	size := uint64(headers + len(of.code))
	head := header{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, // 64 bits, least significant byte first, version 1
		Type:  2, Machine: of.machine, Version: 1,     // ET_EXEC
		Entry: codeAddress + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2, Shentsize: 64,
	}
	segments := []segment{
		{Type: 1, Flags: 4 | 1, Vaddr: codeAddress, Paddr: codeAddress, Filesz: size, Memsz: size, Align: alignment}, // PT_LOAD, PF_R | PF_X
		{Type: 1, Flags: 4 | 2, Vaddr: counterAddress, Paddr: counterAddress, Memsz: dataSize, Align: alignment},     // PT_LOAD, PF_R | PF_W
	}
	var file bytes.Buffer
	for _, part := range []any{head, segments, of.code} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return file.Bytes(), nil
}

// canTry tells whether there is a program for this processor.
func canTry() bool { return waiterCode[runtime.GOARCH].code != nil }
