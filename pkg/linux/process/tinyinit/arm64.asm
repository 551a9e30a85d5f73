// The init process of a container, for arm64; tinyinit.go tells what it does. The same steps as in amd64.asm.
//
// System calls take the number in x8 and arguments in x0 to x5, and keep all registers but x0. Throughout:
//
//      x19     the command's argument vector
//      x20     the environment
//      w21     the command's pid
//      w22     the error to report
//      w23     WNOHANG, or 0 where a filter refuses to wait for signals
//      sp      points to the memory described next

        .set    machine, 183                    // EM_AARCH64
        .include "elf.inc"

        .set    ALL, 0                          // a signal mask with every signal
        .set    OLD, 8                          // the signal mask at the start
        .set    INFO, 16                        // siginfo_t, or a wait status
        .set    BUFFER, 256                     // a path, or the message
        .set    LIMIT, 8192                     // where it is cut: past PATH_MAX, so that a cut path is an error
        .set    MEMORY, 16384

        .set    SIGCHLD, 17
        .set    WNOHANG, 1
        .set    EINTR, 4
        .set    ENOENT, 2
        .set    EACCES, 13
        .set    ENOTDIR, 20
        .set    ENAMETOOLONG, 36

        .macro  sys nr
        mov     x8, \nr
        svc     0
        .endm

        .globl  _start
_start: ldr     x9, [sp]                        // argc, argv, NULL, environment, NULL
        add     x19, sp, 16
        add     x20, x19, x9, lsl 3
        mov     w0, 127
        cmp     x9, 2
        b.lo    exit
        sub     sp, sp, MEMORY

        mov     x0, 15                          // prctl(PR_SET_NAME, "init")
        adr     x1, process_name
        sys     167

        mov     x9, -1
        str     x9, [sp, ALL]
        mov     x0, 2                           // rt_sigprocmask(SIG_SETMASK, ALL, OLD, 8)
        add     x1, sp, ALL
        add     x2, sp, OLD
        mov     x3, 8
        sys     135

        mov     x0, SIGCHLD                     // clone(SIGCHLD, 0, 0, 0, 0), which is fork
        mov     x1, 0
        mov     x2, 0
        mov     x3, 0
        mov     x4, 0
        sys     220
        cbz     w0, command
        mov     w21, w0
        mov     w23, WNOHANG
        neg     w22, w0
        tbz     w22, 31, report

// The parent takes one signal after the other. Where it may not, it waits for nothing but ends.

wait:   add     x0, sp, ALL                     // rt_sigtimedwait(ALL, INFO, NULL, 8)
        add     x1, sp, INFO
        mov     x2, 0
        mov     x3, 8
        sys     137
        cmn     w0, EINTR
        b.eq    wait
        tbz     w0, 31, taken
        mov     w23, 0
        b       reap
taken:  cmp     w0, SIGCHLD
        b.eq    reap
        ldr     w9, [sp, INFO + 8]              // si_code: more than 0 is from the kernel, so from a
        cmp     w9, 0                           // terminal, which sends it to the command as well
        b.gt    wait
        mov     w1, w0                          // kill(command, signal)
        mov     w0, w21
        sys     129
        b       wait

reap:   mov     x0, -1                          // wait4(-1, INFO, WNOHANG or 0, NULL)
        add     x1, sp, INFO
        mov     w2, w23
        mov     x3, 0
        sys     260
        cbz     w0, wait                        // nobody
        mov     w9, w0
        mov     w0, 127
        tbnz    w9, 31, exit                    // refused as well: it would never learn of the end
        mov     w0, w9
        cmp     w0, w21
        b.ne    reap
        ldr     w9, [sp, INFO]
        ubfx    w0, w9, 8, 8                    // the exit code
        ands    w9, w9, 0x7f
        b.eq    exit
        add     w0, w9, 128                     // killed by a signal
exit:   sys     94                              // exit_group
        udf     0                               // refused

// The child becomes the command.

command:
        mov     x0, 2                           // rt_sigprocmask(SIG_SETMASK, OLD, NULL, 8)
        add     x1, sp, OLD
        mov     x2, 0
        mov     x3, 8
        sys     135

        mov     w22, ENOENT
        ldr     x1, [x19]
slash:  ldrb    w9, [x1], 1                     // is there a slash in the name?
        cbz     w9, path
        cmp     w9, '/'
        b.ne    slash
        ldr     x0, [x19]
        bl      execute
        mov     w22, w0
        b       report

path:   mov     x23, x20                        // look for PATH in the environment
        movz    w10, 0x4150                     // "PATH"
        movk    w10, 0x4854, lsl 16
variable:
        ldr     x1, [x23], 8
        cbz     x1, no_path
        ldr     w9, [x1]
        cmp     w9, w10
        b.ne    variable
        ldrb    w9, [x1, 4]
        cmp     w9, '='
        b.ne    variable
        add     x1, x1, 5
        b       directory
no_path:
        adr     x1, default_path

directory:                                      // x1: the rest of PATH
        add     x0, sp, BUFFER
        mov     w2, ':'
        bl      copy
        mov     x23, x1
        add     x9, sp, BUFFER
        cmp     x0, x9
        b.ne    named
        mov     w9, '.'                         // an empty entry is the current directory
        strb    w9, [x0], 1
named:  mov     w9, '/'
        strb    w9, [x0], 1
        ldr     x1, [x19]
        mov     w2, 0
        bl      copy
        strb    wzr, [x0]
        add     x0, sp, BUFFER
        bl      execute
        cmp     w0, ENOENT
        b.eq    next
        cmp     w0, ENOTDIR
        b.eq    next
        cmp     w0, ENAMETOOLONG
        b.eq    next
        mov     w22, w0                         // worth more than "not found"
        cmp     w0, EACCES
        b.ne    report
next:   mov     x1, x23
        ldrb    w9, [x1, -1]
        cbnz    w9, directory

// Tell what cannot be executed and why; exit with 127 if it was not found, else 126.

report: add     x0, sp, BUFFER
        mov     w2, 0                           // copy to the end
        adr     x1, cannot_execute
        bl      copy
        ldr     x1, [x19]
        bl      copy
        mov     w23, 127
        adr     x1, not_found
        cmp     w22, ENOENT
        b.eq    reason
        cmp     w22, ENOTDIR
        b.eq    reason
        mov     w23, 126
        adr     x1, denied
        cmp     w22, EACCES
        b.eq    reason
        adr     x1, errno_is
        bl      copy
        mov     w10, 10                         // in decimal, from its last digit
        add     x1, sp, BUFFER - 1
        strb    wzr, [x1]
digit:  udiv    w9, w22, w10
        msub    w11, w9, w10, w22
        add     w11, w11, '0'
        strb    w11, [x1, -1]!
        mov     w22, w9
        cbnz    w9, digit
reason: bl      copy
        mov     w9, '\n'
        strb    w9, [x0], 1
        add     x1, sp, BUFFER                  // write(2, message, length)
        sub     x2, x0, x1
        mov     x0, 2
        sys     64
        mov     w0, w23
        b       exit

// execve(x0, x19, x20); the error in w0.

execute:
        mov     x1, x19
        mov     x2, x20
        sys     221
        neg     w0, w0
        ret

// Append to x0 the string in x1 up to its end or the character w2, which is skipped.

copy:   add     x12, sp, LIMIT
character:
        ldrb    w9, [x1], 1
        cbz     w9, copied
        cmp     w9, w2
        b.eq    copied
        cmp     x0, x12
        b.hs    character
        strb    w9, [x0], 1
        b       character
copied: ret

        .include "text.inc"
