#!/bin/sh
# embed.sh OUTPUT.S FILE...: files as constant data, and the table of them, sn_embedded_file (compiler/aot/link.h).
# Paths are relative to the folder that the assembler runs in, as they are given here.
set -eu
out=$1
shift
{
    echo '.section .note.GNU-stack,"",@progbits'
    i=0
    for path; do
        name=$(basename "$path")
        printf '.section .rodata\n.balign 64\n.Lat%d:\n.incbin "%s"\n.Lend%d:\n.Lname%d:\n.asciz "%s"\n' \
            "$i" "$path" "$i" "$i" "$name"
        i=$((i + 1))
    done
    printf '.section .data.rel.ro,"aw",@progbits\n.balign 8\n'
    printf '.globl sn_embedded_file\n.hidden sn_embedded_file\n.type sn_embedded_file, @object\nsn_embedded_file:\n'
    i=0
    for path; do
        printf '.quad .Lname%d, .Lat%d, .Lend%d - .Lat%d\n' "$i" "$i" "$i" "$i"
        i=$((i + 1))
    done
    printf '.quad 0, 0, 0\n.size sn_embedded_file, . - sn_embedded_file\n'
} >"$out"
