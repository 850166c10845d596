#!/bin/sh
# embed.sh OUTPUT.S NAME FILE...: files as constant data, and the table of them, sn_embedded_NAME (compiler/aot/link.h).
# Paths are relative to the folder that the assembler runs in, as they are given here.
set -eu
out=$1 table=sn_embedded_$2
shift 2
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
    printf '.globl %s\n.hidden %s\n.type %s, @object\n%s:\n' "$table" "$table" "$table" "$table"
    i=0
    for path; do
        printf '.quad .Lname%d, .Lat%d, .Lend%d - .Lat%d\n' "$i" "$i" "$i" "$i"
        i=$((i + 1))
    done
    printf '.quad 0, 0, 0\n.size %s, . - %s\n' "$table" "$table"
} >"$out"
