#!/bin/sh
# conform.sh list [KIND...]         prints every case of the kinds (all that this program knows): golden/CASE ...
# conform.sh CONFORM KIND/CASE      runs one with --check; 77: there are no fixtures, or the build lacks what it needs
# conform.sh CONFORM KIND/CASE so   runs it from shared objects too, whose results must be equal in every byte
# Golden cases are in the tree; fixtures lie in $SN_SHARED/fixtures, or in ../shared/fixtures beside the tree.
root=$(cd "$(dirname "$0")/.." && pwd)
fixtures=${SN_SHARED:-$root/../shared}/fixtures
folder() {
    case $1 in
    golden/*) echo "$root/tests/golden/forward/${1#golden/}" ;;
    tasks/*) echo "$root/tests/golden/pipeline/${1#tasks/}" ;;
    *) echo "$fixtures/$1" ;;
    esac
}
if [ "$1" = list ]; then
    shift
    for kind in ${*:-golden forward generate logits quant sentence pipeline chat metrics}; do
        for case in "$(folder $kind/)"*/case.json; do
            [ -f "$case" ] && case=${case%/case.json} && echo "$kind/${case##*/}"
        done
    done
    exit 0
fi
case=$(folder "$2")
[ -f "$case/case.json" ] || exit 77
[ -z "$3" ] || out=$(mktemp -d) || exit 1
"$1" "$case" ${out:+"$out/plain"} --check --threads 2
rc=$?
if [ -n "$out" ] && [ $rc -eq 0 ]; then
    "$1" "$case" "$out/so" --check --threads 2 --via-so
    rc=$?
    [ $rc -ne 0 ] || cmp "$out/plain" "$out/so" || rc=1
fi
[ -z "$out" ] || rm -r "$out"
[ $rc -eq 3 ] && exit 77
exit $rc
