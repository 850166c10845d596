#!/bin/sh
# Installs what building (and, without --build-only, testing) needs from Debian 12's packages; only what is missing.
set -eu

packages="meson ninja-build pkg-config gcc g++ libc6-dev llvm-19-dev libxxhash-dev zlib1g-dev
          ocl-icd-opencl-dev opencl-headers python3 python3-venv ca-certificates libzstd-dev libsnappy-dev liblz4-dev libbrotli-dev
          libpng-dev libturbojpeg0-dev libbz2-dev liblzma-dev"
test_packages="libcmocka-dev clang-19 libclang-rt-19-dev pocl-opencl-icd luajit
               libsdl2-dev love xvfb xauth"

die() {
    echo "install-deps: $1" >&2
    exit 1
}

case "${1-}" in
'') packages="$packages $test_packages" ;;
--build-only) ;;
*) die "unknown option $1, expected --build-only or nothing" ;;
esac

command -v dpkg-query >/dev/null || die "this is not Debian; install the likes of: $packages"
missing=
for package in $packages; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "needs root or sudo to install:$missing"
    sudo=sudo
fi
echo "install-deps: installing$missing"
$sudo apt-get update -qq || die "apt-get update failed"
# Word splitting is wanted: one name an argument.
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing ||
    die "apt-get could not install:$missing"
