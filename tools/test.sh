#!/bin/bash
# Builds with sanitizers into build/ and runs the default suites. The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1

finish() {
    echo "$1 passed, $2 failed"
    [ "$1" -gt 0 ] && [ "$2" -eq 0 ]
    exit
}

build() {
    local options=("-Db_sanitize=address,undefined" -Db_lundef=false -Dtests=true)
    if ! meson setup --reconfigure build "${options[@]}" >/dev/null 2>&1; then
        rm -rf build
        meson setup build "${options[@]}" || return 1
    fi
    ninja -C build
}

sh tools/install-deps.sh || finish 0 1
build || finish 0 1

# Tests have their own limits; this one keeps the whole within CI's.
timeout 1200 meson test -C build --no-rebuild --print-errorlogs | tee build/test-output.txt
count() {
    awk -v names="$1" '{ split($0, part, ":") } index(names, "|" part[1] "|") { n += part[2] } END { print n + 0 }' \
        build/test-output.txt
}
passed=$(count '|Ok|Expected Fail|')
failed=$(count '|Fail|Unexpected Pass|Timeout|')
grep -q '^Ok:' build/test-output.txt || failed=1 # it did not come to the summary
finish "$passed" "$failed"
