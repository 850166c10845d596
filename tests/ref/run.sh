#!/bin/sh
# run.sh PACKAGES SCRIPT ARG...: a script of this folder by $SN_PYTHON, or else python3; 77: it lacks one of the packages.
packages=$1
shift
python=${SN_PYTHON:-python3}
"$python" -c "import $packages" 2>/dev/null || exit 77
script=$1
shift
exec "$python" "$(dirname "$0")/$script" "$@"
