// The files of the page as read-only data; page.cc gives them their paths.
        .macro  embed name, file
        .globl  damask_\name\()_begin
        .hidden damask_\name\()_begin
        .type   damask_\name\()_begin, %object
damask_\name\()_begin:
        .incbin "\file"
        .size   damask_\name\()_begin, . - damask_\name\()_begin
        .globl  damask_\name\()_end
        .hidden damask_\name\()_end
        .type   damask_\name\()_end, %object
damask_\name\()_end:
        .byte   0
        .size   damask_\name\()_end, 1
        .endm

        .section .rodata
        embed   page_index, DAMASK_PAGE_INDEX
        embed   page_style, DAMASK_PAGE_STYLE
        embed   page_icon, DAMASK_PAGE_ICON
        embed   page_script, DAMASK_PAGE_SCRIPT
        embed   page_card, DAMASK_PAGE_CARD
        embed   page_completion, DAMASK_PAGE_COMPLETION
        embed   page_document, DAMASK_PAGE_DOCUMENT
        embed   page_figures, DAMASK_PAGE_FIGURES
        embed   page_input, DAMASK_PAGE_INPUT
        embed   page_reading, DAMASK_PAGE_READING
        embed   page_server, DAMASK_PAGE_SERVER
        embed   page_settings, DAMASK_PAGE_SETTINGS
        embed   page_turn, DAMASK_PAGE_TURN
        embed   page_watch, DAMASK_PAGE_WATCH

        .section .note.GNU-stack, "", %progbits
