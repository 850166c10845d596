#!/bin/sh
# run.sh NAME SECONDS [LIBFUZZER ARGUMENT...]   fuzzes one parser: json, safetensors, text, ...
# run.sh merge NAME                             adds what was found to the corpus in the tree, least files first
# Builds with clang in $SN_FUZZ_BUILD (default: build-fuzz beside the source tree); findings lie in its folder NAME.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SN_FUZZ_BUILD:-$root/build-fuzz}
merge=
[ "$1" = merge ] && merge=1 && shift
name=$1
tree=$root/tests/fuzz/corpus/$name
[ -d "$build" ] || CC=${CC:-clang-19} meson setup "$build" "$root" -Dfuzz=true -Dbuildtype=debugoptimized \
    -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false -Dopencl=disabled >&2
ninja -C "$build" "tests/${name}_libfuzzer" >&2
mkdir -p "$build/$name" "$tree"
cd "$root"
if [ -n "$merge" ]; then
    exec "$build/tests/${name}_libfuzzer" -merge=1 -max_len=8192 "$tree" "$build/$name"
fi
seconds=$2
shift 2
exec "$build/tests/${name}_libfuzzer" -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 \
    -artifact_prefix="$build/$name-" "$@" "$build/$name" "$tree"
