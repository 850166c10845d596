#!/bin/sh
# build_id.sh ROOT OUTPUT DEPFILE   a hash of all headers, which modules and libsinter must have in common.
set -eu
root=$1 output=$2 depfile=$3
files=$(cd "$root" && find runtime compiler ops backends -name '*.h' -o -name '*.def' | LC_ALL=C sort)
id=$(cd "$root" && printf '%s\n' "$files" | xargs cat | sha256sum | cut -c 1-16)
printf '#define SN_BUILD_ID "%s"\n' "$id" >"$output"
{
    printf '%s:' "$output"
    for file in $files; do
        printf ' %s/%s' "$root" "$file"
    done
    printf '\n'
} >"$depfile"
