#!/usr/bin/env bash
# Prints the path of SoftHSM's PKCS#11 module.
set -euo pipefail
shopt -s nullglob

for module in /usr/lib/softhsm/libsofthsm2.so \
    /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so \
    /usr/lib64/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
    if [[ -f $module ]]; then
        printf '%s\n' "$module"
        exit
    fi
done
echo "conclave: no libsofthsm2.so found: install SoftHSM 2" >&2
exit 1
