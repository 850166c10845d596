#!/bin/sh
# game_test.sh demo|sdl|love SINTER MODELS: compiles models with SINTER, builds an example as its manual says, plays it.
# MODELS: a folder in which all-MiniLM-L6-v2 may lie; else, and to classify, the fixtures: in $SN_SHARED, or in
# ../shared beside the tree. With $GAME_PICTURES the pictures stay there. Exit 77: no fixtures, or no such toolchain.
set -eu

which=$1 sinter=$(realpath "$2") models=$3
here=$(dirname "$(realpath "$0")")
fixtures=${SN_SHARED:-$here/../../../shared}/fixtures
mood=$(realpath "$fixtures/pipeline/text-classification/model") || exit 77
mind=$models/all-MiniLM-L6-v2
[ -f "$mind/model.safetensors" ] || mind=$fixtures/sentence/mean-normalize/model
mind=$(realpath "$mind")
[ -d "$mood" ] && [ -d "$mind" ] || exit 77
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

need() {
    command -v "$1" >/dev/null || {
        echo "game_test: no $1"
        exit 77
    }
}

build() { # OUTPUT SOURCES AND LIBRARIES...
    out=$1
    shift
    cc -std=c11 -O1 -Wall -Wextra -Wshadow -Werror -I. -I"$here" "$@" -lm -Wl,-rpath,. -o "$out"
}

picture() { # a PNG of more than one colour
    [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] && [ "$(tail -c +60 "$1" | head -c 9000 | tr -d '\0' | wc -c)" -gt 4000 ] || {
        echo "game_test: $1 is no picture"
        exit 1
    }
    [ -z "${GAME_PICTURES:-}" ] || cp "$1" "$GAME_PICTURES"
}

case $which in
demo)
    need cc
    "$sinter" compile "$mind" -o mind.so
    build demo "$here/embed_demo.c" mind.so
    same=$(./demo "The guard sleeps." "The guard sleeps.")
    other=$(./demo "The guard sleeps." "Two coins for a loaf of bread")
    [ "$same" = 1.000 ] && [ "$other" != "$same" ] || {
        echo "game_test: similarities $same and $other"
        exit 1
    }
    if ./demo alone 2>message; then
        exit 1
    fi
    grep -q "two sentences" message
    ;;
sdl)
    need cc
    need pkg-config
    pkg-config --exists sdl2 || exit 77
    "$sinter" compile "$mood" -o npc_mood.so
    "$sinter" compile "$mind" -o npc_mind.so
    build game "$here/game_sdl.c" "$here/game_draw.c" npc_mood.so npc_mind.so $(pkg-config --cflags --libs sdl2)
    SDL_VIDEODRIVER=dummy ./game 400 . | tee said
    grep -q "^400 frames, .* [3-9] lines understood" said
    picture scene.png
    picture frames.png
    ;;
love)
    need love
    need xvfb-run
    "$sinter" compile "$mood" -o npc_mood.so --bindings lua
    "$sinter" compile "$mind" -o npc_mind.so --bindings lua
    cp "$here"/love_game/*.lua .
    xvfb-run -a love . 240 "$dir/tavern.png" | tee said
    grep -q "^240 frames, [3-9] lines" said
    picture tavern.png
    ;;
esac
