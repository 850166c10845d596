#!/bin/sh
# Checks who includes whom (ARCHITECTURE.md, section 1), and that memory comes from one place. Run in the root.
set -u
bad=0

# check FOLDER ALLOWED [EXCEPT]: every include "..." in FOLDER's sources must match the pattern.
check() {
    found=$(find "$1" -name '*.[ch]' ! -path "${3:-none}" -exec grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} + |
        grep -vE "\"($2)" || true)
    report "$1 may not include" "$found"
}

report() {
    [ -z "$2" ] && return
    printf '%s:\n%s\n' "$1" "$2"
    bad=1
}

# outside PATTERN FOLDER: among the libraries the pattern occurs in FOLDER only (tests and tools are hosts: free).
outside() {
    found=$(find runtime compiler ops backends frontends -name '*.[ch]' ! -path "$2*" \
        -exec grep -HnE "$1" {} + || true)
    report "only $2 may say" "$found"
}

check runtime 'runtime/'
check compiler 'runtime/|compiler/'
check ops/host 'runtime/|ops/host/'
check ops 'runtime/|compiler/|ops/' 'ops/host/*'
check backends 'runtime/|compiler/|backends/'
check frontends 'runtime/|compiler/|ops/|frontends/'
check tools 'runtime/(sinter|json)\.h|compiler/graph\.h|frontends/hub\.h|frontends/data/dataset\.h|frontends/training\.h|frontends/peft\.h|frontends/eval\.h|frontends/tokenizer_train\.h|tools/' tools/genops.c
outside '#[[:space:]]*include[[:space:]]*<llvm-c/' backends/llvm/
outside '#[[:space:]]*include[[:space:]]*<(CL/|clblast)' backends/opencl/
outside '(^|[^_[:alnum:].>])(malloc|calloc|realloc|free|aligned_alloc|strdup)\(' runtime/context.c
outside '#[[:space:]]*include[[:space:]]*<(zlib|zstd|snappy|lz4|brotli|bzlib|lzma)' ops/media/
exit $bad
