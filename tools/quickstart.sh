#!/bin/bash
# From a fresh Debian 12 to sentence embeddings and a chat: builds sinter, gets two small models, embeds four sentences,
# and asks a question; on a terminal you go on from there. Everything lies in build-release/. --model DIR: another
# sentence-transformers folder.
set -u
cd "$(dirname "$0")/.." || exit 1

out=build-release
log=$out/quickstart.log
model=
sinter=$out/tools/sinter
sentences=(
    "A man is eating food."
    "Someone is having a meal."
    "The new phone has a better camera."
    "It rained all day in the mountains."
)

die() {
    echo "quickstart: $1" >&2
    exit 1
}

# step NAME COMMAND...: output goes to the log; its last line tells of a failure.
step() {
    echo "$1 ..."
    shift
    echo "\$ $*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null || die "$* failed: $(tail -n 1 "$log") (all of it: $log)"
}

configure() {
    [ -f $out/build.ninja ] || meson setup $out --buildtype=release -Dwerror=false -Dtests=false
}

case "${1-}" in
'') ;;
--model)
    model=${2-}
    [ $# -eq 2 ] || die "--model needs one folder"
    [ -f "$model/config.json" ] || die "$model: has no config.json, expected a model folder"
    ;;
*) die "unknown option $1, expected --model DIR or nothing" ;;
esac

export SINTER_CACHE_DIR="${SINTER_CACHE_DIR:-$out/cache}"
mkdir -p $out || die "cannot make the folder $out"
: >$log
step "Installing what the build needs" sh tools/install-deps.sh --build-only
step "Configuring" configure
step "Building" ninja -C $out
if [ -z "$model" ]; then
    model=$out/models/all-MiniLM-L6-v2
    step "Getting the model all-MiniLM-L6-v2 (80 MB)" sh tools/get-model.sh minilm $out/models
fi

vectors=$($sinter embed --json "$model" "${sentences[@]}") || die "$sinter embed failed, see the line above"
echo
echo "Embeddings, first 8 numbers of each:"
while IFS= read -r vector; do
    echo "  $(cut -d, -f1-8 <<<"${vector#[}"), ..."
done <<<"$vectors"
echo
echo "Similarity:"
for i in "${!sentences[@]}"; do
    echo "  $((i + 1)). ${sentences[i]}"
done
matrix=$($sinter embed --similarity "$model" "${sentences[@]}") || die "$sinter embed failed, see the line above"
awk '{ for (i = 1; i <= NF; i++) printf "%8.4f", $i; print "" }' <<<"$matrix"

chat=$out/models/SmolLM2-135M-Instruct.Q4_1.gguf
question="What is the capital of France?"
echo
step "Getting the model SmolLM2-135M-Instruct (98 MB)" sh tools/get-model.sh smollm2 $out/models
echo
echo "> $question"
$sinter chat "$chat" --system "You are a helpful assistant." <<<"$question" || die "$sinter chat failed, see the line above"
echo
echo "Try next:"
echo "  $sinter chat $chat"
echo "  $sinter generate $chat --prompt \"Once upon a time\" --max-new-tokens 100"
echo "  $sinter embed $model \"Any sentence of yours\""
echo "  echo \"Hello world\" | $sinter tokenize $model"
echo "  $sinter inspect $model"
[ ! -t 0 ] || [ ! -t 1 ] || exec $sinter chat "$chat"
