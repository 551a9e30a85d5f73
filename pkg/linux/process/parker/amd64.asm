# The program of a parked process, for amd64; parker.go tells what it does.
#
# System calls take the number in rax and arguments in rdi, rsi, rdx, r10, r8, r9, and keep all registers
# but rax, rcx and r11. Throughout:
#
#      r12     the frame, at the begin of the image
#      rbx     the record
#      r13     the image's descriptor
#      r14     the size of the image

        .intel_syntax noprefix
        .set    machine, 62                     # EM_X86_64
        .include "elf.inc"
        .include "layout.inc"

        .macro  sys nr
        mov     eax, \nr
        syscall
        .endm

        .globl  _start
_start: mov     edi, 4                          # prctl(PR_SET_DUMPABLE, 0), before all else
        xor     esi, esi
        xor     edx, edx
        xor     r10d, r10d
        xor     r8d, r8d
        sys     157
        mov     edi, 127
        cmp     qword ptr [rsp], 4              # argc, argv, NULL
        jne     exit
        mov     edi, 15                         # prctl(PR_SET_NAME, "init")
        lea     rsi, [rip + process_name]
        sys     157

        mov     rsi, [rsp + 16]
        call    number
        mov     r13, rdi
        mov     rsi, [rsp + 24]
        call    number
        mov     r12, rdi
        mov     rsi, [rsp + 32]
        call    number
        mov     r14, rdi

        mov     rdi, r12                        # mmap(frame, size, PROT_READ|PROT_WRITE,
        mov     rsi, r14                        #      MAP_SHARED|MAP_FIXED_NOREPLACE, descriptor, 0)
        mov     edx, 3
        mov     r10d, 0x100001
        mov     r8, r13
        xor     r9d, r9d
        sys     9
        mov     rdi, rax
        neg     edi                             # the errno is the exit code
        cmp     rax, r12
        jne     exit
        mov     rdi, r13                        # close(descriptor)
        sys     3
        mov     rbx, [r12 + frame_current]
        xor     eax, eax
        jmp     store

# One record after the other, as run_amd64.s does it.

next:   cmp     rbx, [r12 + frame_end]
        je      finish
        mov     [r12 + frame_current], rbx
        cmp     qword ptr [rbx + record_nr], record_moves
        je      move
        cmp     qword ptr [rbx + record_nr], record_reborn
        je      reborn
        mov     rdi, [rbx + record_args]
        mov     rdi, [rdi]
        mov     rsi, [rbx + record_args + 8]
        mov     rsi, [rsi]
        mov     rdx, [rbx + record_args + 16]
        mov     rdx, [rdx]
        mov     r10, [rbx + record_args + 24]
        mov     r10, [r10]
        mov     r8, [rbx + record_args + 32]
        mov     r8, [r8]
        mov     r9, [rbx + record_args + 40]
        mov     r9, [r9]
        mov     rax, [rbx + record_nr]
        syscall
store:  mov     rcx, [rbx + record_out]
        mov     [rcx], rax
        mov     [rbx + record_result], rax
        cmp     rax, -4095
        jae     error
        mov     rbx, [rbx + record_then]
        jmp     next

move:   mov     rsi, [rbx + record_args]
        mov     rdi, [rbx + record_args + 8]
        mov     eax, [rsi]
        mov     [rdi], eax
        xor     eax, eax
        jmp     store

error:  neg     rax
        cmp     rax, 128
        jae     fail
        bt      qword ptr [rbx + record_accept], rax    # a bit string in memory: bits 0 to 127
        jnc     fail
        mov     rbx, [rbx + record_accepted]
        jmp     next

# The child goes on and this process ends. Both have the image, the child perhaps under foreign orders: not a word of it is
# read here afterwards. The stack is a copy of its own.

reborn: mov     edi, 15                         # prctl(PR_SET_NAME), or how would its pid be told?
        lea     rsi, [rip + process_name]
        sys     157
        test    rax, rax
        js      store
        mov     edi, 0x8000                     # clone(CLONE_PARENT, 0, 0, 0, 0)
        xor     esi, esi
        xor     edx, edx
        xor     r10d, r10d
        xor     r8d, r8d
        sys     56
        test    rax, rax
        jle     store
        lea     rsi, [rsp - 8]
        mov     byte ptr [rsi], 0
        mov     ecx, 10
decimal:
        xor     edx, edx
        div     ecx
        add     edx, '0'
        dec     rsi
        mov     [rsi], dl
        test    eax, eax
        jnz     decimal
        sub     rsi, 5
        mov     dword ptr [rsi], 0x6e726f62     # "born "
        mov     byte ptr [rsi + 4], ' '
        mov     edi, 15                         # prctl(PR_SET_NAME, "born " and the child's pid)
        sys     157
        jmp     finish

fail:   mov     [r12 + frame_failed], rbx
        mov     edi, 127
        jmp     exit
finish: xor     edi, edi
exit:   sys     231                             # exit_group
        ud2                                     # a filter refused that

# The number in the string in rsi goes to rdi, and zeros to the string.

number: xor     edi, edi
        jmp     character
digit:  shl     rdi, 7                          # seven bits a character, the highest first
        and     eax, 0x7f
        or      rdi, rax
        mov     byte ptr [rsi], 0
        inc     rsi
character:
        movzx   eax, byte ptr [rsi]
        test    al, al
        jnz     digit
        ret

        .include "text.inc"
