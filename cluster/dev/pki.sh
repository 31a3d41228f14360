#!/usr/bin/env bash
# A certificate authority for development, and certificates of nodes and principals. Keeps those that are good.
#
#   pki.sh DIR
#
# Whom a certificate names is its one URI: conclave://node/ID or conclave://principal/NAME.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

readonly dir=${1:?usage: pki.sh DIR}
readonly days=365
readonly renew_before_s=86400

make_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null
}

# is_good NAME: key and certificate are there, belong together, and will be valid for a day more.
is_good() {
    local cert=$dir/$1.pem key=$dir/$1.key
    [[ -s $cert && -s $key ]] &&
        openssl x509 -in "$cert" -noout -checkend "$renew_before_s" >/dev/null 2>&1 &&
        [[ $(openssl x509 -in "$cert" -noout -pubkey) == "$(openssl pkey -in "$key" -pubout)" ]]
}

make_authority() {
    is_good ca && return
    # What an earlier authority issued is of no use any more.
    rm -f "$dir"/*.pem "$dir"/*.key
    make_key "$dir/ca.key"
    openssl req -x509 -new -sha256 -key "$dir/ca.key" -days "$days" -out "$dir/ca.pem" \
        -subj '/CN=Conclave development CA' \
        -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' \
        -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

# issue NAME SUBJECT_ALTERNATIVE_NAMES EXTENDED_KEY_USAGE
issue() {
    local name=$1 names=$2 usage=$3
    if is_good "$name" && openssl verify -CAfile "$dir/ca.pem" "$dir/$name.pem" >/dev/null 2>&1; then
        return
    fi
    make_key "$dir/$name.key"
    openssl req -new -sha256 -key "$dir/$name.key" -subj "/CN=$name" |
        openssl x509 -req -sha256 -days "$days" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" \
            -set_serial "0x00$(openssl rand -hex 15)" -out "$dir/$name.pem.new" -extfile <(
                printf '%s\n' "subjectAltName=$names" "extendedKeyUsage=$usage" \
                    'basicConstraints=critical,CA:FALSE' 'keyUsage=critical,digitalSignature' \
                    'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid'
            ) 2>/dev/null || fail "openssl could not issue the certificate of $name"
    mv "$dir/$name.pem.new" "$dir/$name.pem"
}

mkdir -p "$dir"
make_authority
for node in "${nodes[@]}"; do
    issue "node$node" "URI:conclave://node/$node,DNS:localhost,IP:127.0.0.1" 'serverAuth,clientAuth'
done
for principal in admin "${principals[@]}" "${custodians[@]}"; do
    issue "$principal" "URI:conclave://principal/$principal" clientAuth
done
chmod 600 "$dir"/*.key
chmod 644 "$dir"/*.pem
