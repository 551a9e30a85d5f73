// The program of a parked process, for arm64; parker.go tells what it does. The same steps as in amd64.asm.
//
// System calls take the number in x8 and arguments in x0 to x5, and keep all registers but x0. Throughout:
//
//      x19     the frame, at the begin of the image
//      x20     the record
//      x21     the image's descriptor
//      x22     the size of the image

        .set    machine, 183                    // EM_AARCH64
        .include "elf.inc"
        .include "layout.inc"

        .macro  sys nr
        mov     x8, \nr
        svc     0
        .endm

        .globl  _start
_start: mov     x0, 4                           // prctl(PR_SET_DUMPABLE, 0), before all else
        mov     x1, 0
        mov     x2, 0
        mov     x3, 0
        mov     x4, 0
        sys     167
        ldr     x9, [sp]                        // argc, argv, NULL
        mov     x0, 127
        cmp     x9, 4
        b.ne    exit
        mov     x0, 15                          // prctl(PR_SET_NAME, "init")
        adr     x1, process_name
        sys     167

        ldr     x1, [sp, 16]
        bl      number
        mov     x21, x0
        ldr     x1, [sp, 24]
        bl      number
        mov     x19, x0
        ldr     x1, [sp, 32]
        bl      number
        mov     x22, x0

        mov     x0, x19                         // mmap(frame, size, PROT_READ|PROT_WRITE,
        mov     x1, x22                         //      MAP_SHARED|MAP_FIXED_NOREPLACE, descriptor, 0)
        mov     x2, 3
        movz    x3, 1
        movk    x3, 0x10, lsl 16
        mov     x4, x21
        mov     x5, 0
        sys     222
        mov     x9, x0
        neg     x0, x0                          // the errno is the exit code
        cmp     x9, x19
        b.ne    exit
        mov     x0, x21                         // close(descriptor)
        sys     57
        ldr     x20, [x19, frame_current]
        mov     x0, 0
        b       store

// One record after the other, as run_arm64.s does it.

next:   ldr     x9, [x19, frame_end]
        cmp     x20, x9
        b.eq    finish
        str     x20, [x19, frame_current]
        ldr     x8, [x20, record_nr]
        cmn     x8, -record_moves
        b.eq    move
        cmn     x8, -record_reborn
        b.eq    reborn
        ldr     x0, [x20, record_args]
        ldr     x0, [x0]
        ldr     x1, [x20, record_args + 8]
        ldr     x1, [x1]
        ldr     x2, [x20, record_args + 16]
        ldr     x2, [x2]
        ldr     x3, [x20, record_args + 24]
        ldr     x3, [x3]
        ldr     x4, [x20, record_args + 32]
        ldr     x4, [x4]
        ldr     x5, [x20, record_args + 40]
        ldr     x5, [x5]
        svc     0
store:  ldr     x9, [x20, record_out]
        str     x0, [x9]
        str     x0, [x20, record_result]
        cmn     x0, 4095
        b.hs    error
        ldr     x20, [x20, record_then]
        b       next

move:   ldr     x9, [x20, record_args]
        ldr     x10, [x20, record_args + 8]
        ldr     w9, [x9]
        str     w9, [x10]
        mov     x0, 0
        b       store

error:  neg     x0, x0
        cmp     x0, 128
        b.hs    fail
        add     x9, x20, record_accept
        lsr     x10, x0, 6
        ldr     x9, [x9, x10, lsl 3]
        lsr     x9, x9, x0                      // by x0 modulo 64
        tbz     x9, 0, fail
        ldr     x20, [x20, record_accepted]
        b       next

// The child goes on and this process ends. Both have the image, the child perhaps under foreign orders: not a word of it is
// read here afterwards. The stack is a copy of its own.

reborn: mov     x0, 15                          // prctl(PR_SET_NAME), or how would its pid be told?
        adr     x1, process_name
        sys     167
        tbnz    x0, 63, store
        mov     x0, 0x8000                      // clone(CLONE_PARENT, 0, 0, 0, 0)
        mov     x1, 0
        mov     x2, 0
        mov     x3, 0
        mov     x4, 0
        sys     220
        cmp     x0, 0
        b.le    store
        sub     sp, sp, 16
        add     x1, sp, 15
        strb    wzr, [x1]
        mov     w9, 10
decimal:
        udiv    w10, w0, w9
        msub    w11, w10, w9, w0
        add     w11, w11, '0'
        strb    w11, [x1, -1]!
        mov     w0, w10
        cbnz    w0, decimal
        mov     w9, ' '
        strb    w9, [x1, -1]!
        movz    w9, 0x6f62                      // "born"
        movk    w9, 0x6e72, lsl 16
        str     w9, [x1, -4]!
        mov     x0, 15                          // prctl(PR_SET_NAME, "born " and the child's pid)
        sys     167
        b       finish

fail:   str     x20, [x19, frame_failed]
        mov     x0, 127
        b       exit
finish: mov     x0, 0
exit:   sys     94                              // exit_group
        udf     0                               // a filter refused that

// The number in the string in x1 goes to x0, and zeros to the string.

number: mov     x0, 0
        b       character
digit:  and     x9, x9, 0x7f                    // seven bits a character, the highest first
        orr     x0, x9, x0, lsl 7
        strb    wzr, [x1], 1
character:
        ldrb    w9, [x1]
        cbnz    w9, digit
        ret

        .include "text.inc"
