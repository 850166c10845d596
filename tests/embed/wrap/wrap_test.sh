#!/bin/sh
# Runs the program of one language over compiled models; it must print what the C program prints.
#   wrap_test.sh LANGUAGE FOLDER    FOLDER: wrap_*.so, their headers and wrappers; 77: there is no such toolchain
set -eu
language=$1
models=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d /tmp/sinter-wrap-XXXXXX)
trap 'rm -rf "$work"' EXIT
for file in "$models"/wrap_*; do
    [ -f "$file" ] && cp "$file" "$work"
done
cp "$here"/wrap_use.* "$work"
cd "$work"
export LD_LIBRARY_PATH="$work" PYTHONDONTWRITEBYTECODE=1 PYTHONIOENCODING=utf-8

need() {
    command -v "$1" > /dev/null || { echo "no $1"; exit 77; }
}

need cc
cc -std=c99 -pedantic -Wall -Wextra -Werror wrap_use.c wrap_*.so -o use_c
./use_c > expected

case $language in
c)
    cat expected ;;
cpp)
    need c++
    c++ -std=c++17 -Wall -Wextra -Wshadow -Werror wrap_use.cpp wrap_*.so -o use_cpp
    ./use_cpp > got ;;
csharp)
    need mcs
    need mono
    mcs -warnaserror -out:use.exe wrap_use.cs wrap_embed.cs wrap_class.cs wrap_pair.cs wrap_tag.cs wrap_answer.cs \
        wrap_fill.cs wrap_state.cs
    mono use.exe > got ;;
lua)
    need luajit
    luajit wrap_use.lua > got ;;
python)
    need python3
    python3 -W error wrap_use.py > got ;;
rust)
    need rustc
    links=$(for so in wrap_*.so; do printf ' -C link-arg=%s' "$so"; done)
    rustc --edition 2021 -D warnings -C opt-level=1 $links wrap_use.rs -o use_rust
    ./use_rust > got ;;
*)
    echo "unknown language $language"
    exit 1 ;;
esac
[ "$language" = c ] || diff expected got
