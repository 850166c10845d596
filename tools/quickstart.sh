#!/bin/bash
# From a fresh Debian 12 to a story, sentence embeddings and a chat: builds sinter, whose own model tells a story, gets two
# small models, embeds four sentences, and asks a question; on a terminal you go on from there. Without a network it ends
# after the story. Everything lies in build-release/. --model DIR: another sentence-transformers folder.
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

# get NAME WORDS: a model into $out/models; without a network this is all there is.
get() {
    echo "Getting the model $2 ..."
    echo "\$ get-model.sh $1" >>"$log"
    sh tools/get-model.sh "$1" $out/models >>"$log" 2>&1 </dev/null
    case $? in
    0) ;;
    77)
        echo "quickstart: it cannot be had: $(tail -n 1 "$log")"
        echo "Try next:"
        echo "  $sinter run"
        echo "  $sinter generate --prompt \"The cat\" --do-sample"
        exit 0
        ;;
    *) die "tools/get-model.sh failed: $(tail -n 1 "$log") (all of it: $log)" ;;
    esac
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

echo
echo "The model inside of $sinter tells a story:"
echo
story="Once upon a time"
printf '%s' "$story"
$sinter generate --prompt "$story" --do-sample --temperature 0.5 --max-new-tokens 200 --seed 3 || die "$sinter generate failed, see the line above"
echo
if [ -z "$model" ]; then
    model=$out/models/all-MiniLM-L6-v2
    get minilm "all-MiniLM-L6-v2 (80 MB)"
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
get smollm2 "SmolLM2-135M-Instruct (98 MB)"
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
