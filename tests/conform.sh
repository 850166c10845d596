#!/bin/sh
# conform.sh list               prints every case of a kind that this program knows: golden/CASE, forward/CASE ...
# conform.sh CONFORM KIND/CASE  runs one with --check; 77: there are no fixtures, or the build lacks what it needs
# Golden cases are in the tree; fixtures lie in $SN_SHARED/fixtures, or in ../shared/fixtures beside the tree.
root=$(cd "$(dirname "$0")/.." && pwd)
fixtures=${SN_SHARED:-$root/../shared}/fixtures
folder() {
    case $1 in
    golden/*) echo "$root/tests/golden/forward/${1#golden/}" ;;
    *) echo "$fixtures/$1" ;;
    esac
}
if [ "$1" = list ]; then
    for kind in golden forward sentence pipeline; do
        for case in "$(folder $kind/)"*/case.json; do
            [ -f "$case" ] && case=${case%/case.json} && echo "$kind/${case##*/}"
        done
    done
    exit 0
fi
case=$(folder "$2")
[ -f "$case/case.json" ] || exit 77
"$1" "$case" --check --threads 2
rc=$?
[ $rc -eq 3 ] && exit 77
exit $rc
