# The init process of a container, for amd64; tinyinit.go tells what it does.
#
# System calls take the number in rax and arguments in rdi, rsi, rdx, r10, r8, r9, and keep all registers
# but rax, rcx and r11. Throughout:
#
#      rbx     the command's argument vector
#      r12     the environment
#      r13d    the command's pid
#      r14d    the error to report
#      r15d    WNOHANG, or 0 where a filter refuses to wait for signals
#      rsp     points to the memory described next

        .intel_syntax noprefix
        .set    machine, 62                     # EM_X86_64
        .include "elf.inc"

        .set    ALL, 0                          # a signal mask with every signal
        .set    OLD, 8                          # the signal mask at the start
        .set    INFO, 16                        # siginfo_t, or a wait status
        .set    BUFFER, 256                     # a path, or the message
        .set    LIMIT, 8192                     # where it is cut: past PATH_MAX, so that a cut path is an error
        .set    MEMORY, 16384

        .set    SIGCHLD, 17
        .set    WNOHANG, 1
        .set    EINTR, 4
        .set    ENOENT, 2
        .set    EACCES, 13
        .set    ENOTDIR, 20
        .set    ENAMETOOLONG, 36

        .macro  sys nr
        mov     eax, \nr
        syscall
        .endm

        .globl  _start
_start: mov     rax, [rsp]                      # argc, argv, NULL, environment, NULL
        lea     rbx, [rsp + 16]
        lea     r12, [rsp + 16 + rax*8]
        mov     edi, 127
        cmp     rax, 2
        jb      exit
        sub     rsp, MEMORY

        mov     edi, 15                         # prctl(PR_SET_NAME, "init")
        lea     rsi, [rip + process_name]
        sys     157

        mov     qword ptr [rsp + ALL], -1
        mov     edi, 2                          # rt_sigprocmask(SIG_SETMASK, ALL, OLD, 8)
        lea     rsi, [rsp + ALL]
        lea     rdx, [rsp + OLD]
        mov     r10d, 8
        sys     14

        mov     edi, SIGCHLD                    # clone(SIGCHLD, 0, 0, 0, 0), which is fork
        xor     esi, esi
        xor     edx, edx
        xor     r10d, r10d
        xor     r8d, r8d
        sys     56
        test    eax, eax
        jz      command
        mov     r13d, eax
        mov     r14d, eax
        mov     r15d, WNOHANG
        neg     r14d
        js      wait
        jmp     report

# The parent takes one signal after the other. Where it may not, it waits for nothing but ends.

wait:   lea     rdi, [rsp + ALL]                # rt_sigtimedwait(ALL, INFO, NULL, 8)
        lea     rsi, [rsp + INFO]
        xor     edx, edx
        mov     r10d, 8
        sys     128
        cmp     eax, -EINTR
        je      wait
        test    eax, eax
        jns     taken
        xor     r15d, r15d
        jmp     reap
taken:  cmp     eax, SIGCHLD
        je      reap
        cmp     dword ptr [rsp + INFO + 8], 0   # si_code: more than 0 is from the kernel, so from a
        jg      wait                            # terminal, which sends it to the command as well
        mov     edi, r13d                       # kill(command, signal)
        mov     esi, eax
        sys     62
        jmp     wait

reap:   mov     rdi, -1                         # wait4(-1, INFO, WNOHANG or 0, NULL)
        lea     rsi, [rsp + INFO]
        mov     edx, r15d
        xor     r10d, r10d
        sys     61
        test    eax, eax
        jz      wait                            # nobody
        mov     edi, 127
        js      exit                            # refused as well: it would never learn of the end
        cmp     eax, r13d
        jne     reap
        mov     eax, [rsp + INFO]
        movzx   edi, ah                         # the exit code
        and     eax, 0x7f
        jz      exit
        lea     edi, [rax + 128]                # killed by a signal
exit:   sys     231                             # exit_group
        ud2                                     # refused

# The child becomes the command.

command:
        mov     edi, 2                          # rt_sigprocmask(SIG_SETMASK, OLD, NULL, 8)
        lea     rsi, [rsp + OLD]
        xor     edx, edx
        mov     r10d, 8
        sys     14

        mov     r14d, ENOENT
        mov     rsi, [rbx]
slash:  lodsb                                   # is there a slash in the name?
        test    al, al
        jz      path
        cmp     al, '/'
        jne     slash
        mov     rdi, [rbx]
        call    execute
        mov     r14d, eax
        jmp     report

path:   mov     rbp, r12                        # look for PATH in the environment
variable:
        mov     rsi, [rbp]
        add     rbp, 8
        test    rsi, rsi
        jz      no_path
        cmp     dword ptr [rsi], 0x48544150     # "PATH"
        jne     variable
        cmp     byte ptr [rsi + 4], '='
        jne     variable
        add     rsi, 5
        jmp     directory
no_path:
        lea     rsi, [rip + default_path]

directory:                                      # rsi: the rest of PATH
        lea     rdi, [rsp + BUFFER]
        mov     dl, ':'
        call    copy
        mov     rbp, rsi
        lea     rax, [rsp + BUFFER]
        cmp     rdi, rax
        jne     named
        mov     al, '.'                         # an empty entry is the current directory
        stosb
named:  mov     al, '/'
        stosb
        mov     rsi, [rbx]
        xor     edx, edx
        call    copy
        mov     byte ptr [rdi], 0
        lea     rdi, [rsp + BUFFER]
        call    execute
        cmp     eax, ENOENT
        je      next
        cmp     eax, ENOTDIR
        je      next
        cmp     eax, ENAMETOOLONG
        je      next
        mov     r14d, eax                       # worth more than "not found"
        cmp     eax, EACCES
        jne     report
next:   mov     rsi, rbp
        cmp     byte ptr [rsi - 1], 0
        jne     directory

# Tell what cannot be executed and why; exit with 127 if it was not found, else 126.

report: lea     rdi, [rsp + BUFFER]
        xor     edx, edx                        # copy to the end
        lea     rsi, [rip + cannot_execute]
        call    copy
        mov     rsi, [rbx]
        call    copy
        mov     ebp, 127
        lea     rsi, [rip + not_found]
        cmp     r14d, ENOENT
        je      reason
        cmp     r14d, ENOTDIR
        je      reason
        dec     ebp
        lea     rsi, [rip + denied]
        cmp     r14d, EACCES
        je      reason
        lea     rsi, [rip + errno_is]
        call    copy
        mov     eax, r14d                       # in decimal, from its last digit
        mov     ecx, 10
        lea     rsi, [rsp + BUFFER - 1]
        mov     byte ptr [rsi], 0
digit:  xor     edx, edx
        div     ecx
        add     dl, '0'
        dec     rsi
        mov     [rsi], dl
        test    eax, eax
        jnz     digit
reason: xor     edx, edx
        call    copy
write:  mov     al, '\n'
        stosb
        lea     rsi, [rsp + BUFFER]             # write(2, message, length)
        mov     rdx, rdi
        sub     rdx, rsi
        mov     edi, 2
        sys     1
        mov     edi, ebp
        jmp     exit

# execve(rdi, rbx, r12); the error in eax.

execute:
        mov     rsi, rbx
        mov     rdx, r12
        sys     59
        neg     eax
        ret

# Append to rdi the string in rsi up to its end or the character dl, which is skipped.

copy:   lea     rcx, [rsp + 8 + LIMIT]
character:
        lodsb
        test    al, al
        jz      copied
        cmp     al, dl
        je      copied
        cmp     rdi, rcx
        jae     character
        stosb
        jmp     character
copied: ret

        .include "text.inc"
