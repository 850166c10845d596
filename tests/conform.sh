#!/bin/sh
# conform.sh list              prints KIND/CASE of every fixture that this program knows
# conform.sh CONFORM KIND/CASE  runs one with --check; 77: there are no fixtures, or the build lacks what it needs
# Fixtures lie in $SN_SHARED/fixtures, or else in ../shared/fixtures beside the source tree.
root=$(cd "$(dirname "$0")/.." && pwd)
fixtures=${SN_SHARED:-$root/../shared}/fixtures
if [ "$1" = list ]; then
    for kind in forward sentence pipeline; do
        for case in "$fixtures/$kind"/*/case.json; do
            [ -f "$case" ] && case=${case%/case.json} && echo "$kind/${case##*/}"
        done
    done
    exit 0
fi
[ -f "$fixtures/$2/case.json" ] || exit 77
"$1" "$fixtures/$2" --check --threads 2
rc=$?
[ $rc -eq 3 ] && exit 77
exit $rc
