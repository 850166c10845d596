#!/bin/sh
# source_test.sh EMIT RUNTIME ROOT: programs as C text. Each C compiler that is here compiles what EMIT (source_emit)
# writes, with flags that would change sums if the text let them, without a warning; the bits are the interpreter's.
# RUNTIME: libsinter-rt. Exit 77: no C compiler.
set -eu

emit=$1 runtime=$2 root=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
tried=0

check() { # COMPILER FLAGS...
    command -v "$1" >/dev/null || return 0
    tried=$((tried + 1))
    for name in small model beside; do
        "$@" -Wall -Wextra -Werror -c -o "$dir/$name.o" "$dir/source_$name.c"
    done
    "$1" -D_GNU_SOURCE -I"$root" -I"$dir" -o "$dir/host" "$root/tests/embed/source_host.c" "$root/tests/embed/embed.c" \
        "$dir/small.o" "$dir/model.o" "$dir/beside.o" "$runtime" -lm -ldl -lpthread
    "$dir/host" "$dir/expected.bin" || {
        echo "source_test: $*" >&2
        exit 1
    }
}

"$emit" "$dir"
check gcc -std=c11 -pedantic
check gcc -O3 -march=native -ffp-contract=fast
check clang -std=c11 -pedantic -O2 -march=native
check clang-19 -O1
[ "$tried" -gt 0 ] || exit 77

# Several in one translation unit; and flags that the text refuses.
cc=$(command -v gcc || command -v clang)
echo '#include "source_small.c"
#include "source_model.c"' >"$dir/both.c"
"$cc" -std=c11 -Wall -Wextra -Werror -c -o "$dir/both.o" "$dir/both.c"
if "$cc" -ffast-math -c -o "$dir/fast.o" "$dir/source_small.c" 2>"$dir/message"; then
    echo "source_test: -ffast-math is not refused" >&2
    exit 1
fi
grep -q "changes results" "$dir/message"
