// The reference model's file as read-only data, so that damask answers without any file on disk. A source of 7 MB of numbers
// would take the compiler a minute; the assembler copies the bytes.
        .section .rodata
        .balign 64
        .globl  damask_embedded_model_begin
        .hidden damask_embedded_model_begin
        .type   damask_embedded_model_begin, %object
damask_embedded_model_begin:
        .incbin DAMASK_EMBEDDED_MODEL_FILE
        .size   damask_embedded_model_begin, . - damask_embedded_model_begin
        .globl  damask_embedded_model_end
        .hidden damask_embedded_model_end
        .type   damask_embedded_model_end, %object
damask_embedded_model_end:
        .byte   0
        .size   damask_embedded_model_end, 1

        .section .note.GNU-stack, "", %progbits
