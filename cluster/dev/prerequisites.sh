#!/usr/bin/env bash
# Installs what building, running and testing need and this machine lacks. Does nothing when all is there.
#
#   prerequisites.sh up       for `make up`; HSM=software does without SoftHSM
#   prerequisites.sh test     for `make test`
#   prerequisites.sh python   prints a Python that has the package `cryptography`
set -euo pipefail
shopt -s nullglob

fail() {
    printf 'conclave: %s\n' "$*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

any() {
    (($# > 0))
}

has_compiler() {
    has cc && { has c++ || has g++ || has clang++; }
}

# bindgen loads libclang, and libclang needs the headers that come with it.
has_libclang() {
    any ${LIBCLANG_PATH:+"$LIBCLANG_PATH"/libclang*.so*} /usr/lib/llvm-*/lib/libclang{,-[0-9]*}.so* \
        /usr/lib/*/libclang{,-[0-9]*}.so* /usr/lib{,64}/libclang{,-[0-9]*}.so* &&
        any /usr/lib/llvm-*/lib/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h \
            /usr/lib64/clang/*/include/stddef.h
}

has_softhsm() {
    has softhsm2-util && "$(dirname "$0")/softhsm-module.sh" >/dev/null 2>&1
}

# Debian keeps it where only root looks.
has_ip() {
    has ip || [[ -x /usr/sbin/ip || -x /sbin/ip ]]
}

# The test vectors of the message format are opened by a second implementation, in Python.
find_python() {
    local python
    for python in "${CONCLAVE_PYTHON:-}" python3 /usr/bin/python3; do
        if [[ -n $python ]] && "$python" -c 'import cryptography' >/dev/null 2>&1; then
            command -v "$python"
            return
        fi
    done
    return 1
}

# Sets `packages` to the Debian packages that are missing.
find_missing() {
    packages=()
    has_compiler || packages+=(g++)
    has make || packages+=(make)
    has_libclang || packages+=(libclang-dev)
    has openssl || packages+=(openssl)
    has python3 || packages+=(python3)
    if [[ $purpose == test || ${HSM:-pkcs11} != software ]]; then
        has_softhsm || packages+=(softhsm2)
    fi
    if [[ $purpose == test ]]; then
        find_python >/dev/null || packages+=(python3 python3-cryptography)
        has_ip || packages+=(iproute2)
        has faketime || packages+=(faketime)
    fi
}

purpose=${1:-test}
case $purpose in
up | test) ;;
python)
    find_python || fail "no Python with the package 'cryptography': run cluster/dev/prerequisites.sh test"
    exit
    ;;
*) fail "usage: $0 up|test|python" ;;
esac

has cargo || fail "cargo is missing: install Rust with https://rustup.rs, open a new shell, and try again"

find_missing
((${#packages[@]} > 0)) || exit 0

if ! has apt-get; then
    hint=''
    [[ $purpose == up && " ${packages[*]} " == *' softhsm2 '* ]] &&
        hint='. Without a PKCS#11 module, run: make up HSM=software'
    fail "missing (by their Debian names): ${packages[*]}. There is no apt-get here: install them yourself$hint"
fi

as_root=()
if ((EUID != 0)); then
    has sudo || fail "missing: ${packages[*]}. As root, run: apt-get install ${packages[*]}"
    as_root=(sudo)
fi

echo "conclave: this machine lacks, and apt-get will now install: ${packages[*]}"
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes
    --no-install-recommends "${packages[@]}")
if ! "${install[@]}" </dev/null; then
    echo "conclave: once more, with fresh package lists"
    "${as_root[@]}" apt-get update </dev/null
    "${install[@]}" </dev/null || fail "apt-get could not install ${packages[*]}"
fi

wanted=("${packages[@]}")
find_missing
((${#packages[@]} == 0)) || fail "installed ${wanted[*]}, and yet cannot find: ${packages[*]}"
