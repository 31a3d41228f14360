#!/usr/bin/env bash
# A development cluster on loopback: three nodes, five custodians of whom three unseal, one key at work.
# Does what is missing and leaves the rest: run again, it restarts stopped nodes and unseals sealed ones.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

readonly target_dir=${CARGO_TARGET_DIR:-$HOME/.cache/conclave/target}
readonly hsm=${HSM:-pkcs11}
readonly pki_dir=$run_dir/pki
readonly demo_key=demo/first

# --- files -------------------------------------------------------------------------------------

choose_hsm() {
    local before
    [[ $hsm == pkcs11 || $hsm == software ]] || fail "HSM is pkcs11 or software, not $hsm"
    before=$(cat "$run_dir/hsm" 2>/dev/null || true)
    [[ -z $before || $before == "$hsm" ]] ||
        fail "this cluster was made with HSM=$before: use that, or make clean and begin anew"
    if [[ $hsm == software ]]; then
        say 'HSM=software: the in-process HSM. This gives up: the root key and every key at protection HSM are in'
        say '  the memory of each node, so whoever reads that memory has them all, and no hardware ever refuses.'
    fi
    printf '%s\n' "$hsm" >"$run_dir/hsm"
}

link_programs() {
    local program
    mkdir -p "$run_dir/bin"
    for program in conclaved conclave; do
        [[ -x $target_dir/release/$program ]] || fail "$target_dir/release/$program is missing: run make build"
        ln -sfn "$target_dir/release/$program" "$run_dir/bin/$program"
    done
    PATH=$run_dir/bin:$PATH
}

# One token a node, as if each had an HSM of its own.
make_token() {
    local node=$1 dir
    dir=$(node_dir "$node")
    [[ $hsm == pkcs11 ]] || return 0
    export SOFTHSM2_CONF=$dir/softhsm2.conf
    [[ ! -e $dir/token-made ]] || return 0
    rm -rf "$dir/tokens"
    mkdir -p "$dir/tokens"
    printf '%s\n' "directories.tokendir = $dir/tokens" 'objectstore.backend = file' \
        'log.level = ERROR' 'slots.removable = false' >"$SOFTHSM2_CONF"
    printf '%s' "$(openssl rand -hex 16)" >"$dir/pin"
    softhsm2-util --init-token --free --label "conclave-node$node" \
        --pin "$(cat "$dir/pin")" --so-pin "$(openssl rand -hex 16)" >/dev/null ||
        fail "softhsm2-util could not make a token in $dir/tokens"
    touch "$dir/token-made"
}

write_config() {
    local node=$1 file member module
    file=$(node_dir "$node")/config.toml
    [[ ! -e $file ]] || return 0
    {
        printf '# Of the development cluster; made by cluster/dev/up.sh.\n'
        printf '[cluster]\nid = "%s"\nadmins = ["admin"]\n' "$(cat "$run_dir/cluster-id")"
        for member in "${nodes[@]}"; do
            printf '\n[[cluster.members]]\nid = %s\nname = "node%s"\napi = "%s"\npeer = "%s"\n' \
                "$member" "$member" "$(api_address "$member")" "$(peer_address "$member")"
        done
        printf '\n[node]\nid = %s\ndata_dir = "data"\n' "$node"
        printf '# For development only: lets grpcurl list the services.\nreflection = true\n'
        printf '\n[log]\nformat = "text"\nlevel = "info"\n'
        printf '\n[tls]\nca = "../pki/ca.pem"\ncert = "../pki/node%s.pem"\nkey = "../pki/node%s.key"\n' \
            "$node" "$node"
        if [[ $hsm == pkcs11 ]]; then
            module=$("$dev_dir/softhsm-module.sh")
            printf '\n[hsm]\nkind = "pkcs11"\nmodule = "%s"\ntoken = "conclave-node%s"\npin_file = "pin"\n' \
                "$module" "$node"
        else
            printf '\n[hsm]\nkind = "software"\n'
        fi
    } >"$file.new"
    mv "$file.new" "$file"
}

quote() {
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

write_env() {
    {
        printf '# To be sourced: the command line as the principal admin of the development cluster.\n'
        # shellcheck disable=SC2016 # PATH is the reader's
        printf 'case ":$PATH:" in *:%s:*) ;; *) export PATH=%s:"$PATH" ;; esac\n' \
            "$(quote "$run_dir/bin")" "$(quote "$run_dir/bin")"
        printf 'export CONCLAVE_ENDPOINTS=%s\n' "$(quote "$(all_endpoints)")"
        printf 'export CONCLAVE_CA=%s\n' "$(quote "$pki_dir/ca.pem")"
        printf 'export CONCLAVE_CERT=%s\n' "$(quote "$pki_dir/admin.pem")"
        printf 'export CONCLAVE_CERT_KEY=%s\n' "$(quote "$pki_dir/admin.key")"
        printf 'export CONCLAVE_CONFIG=%s\n' "$(quote "$run_dir/profiles.toml")"
    } >"$run_dir/env.new"
    mv "$run_dir/env.new" "$run_dir/env"
}

# For `conclave --profile NAME`.
write_profiles() {
    local principal
    {
        printf '# Of the development cluster; made by cluster/dev/up.sh.\n'
        for principal in admin "${principals[@]}"; do
            printf '\n[profiles.%s]\nendpoints = ["%s"]\n' "$principal" "$(all_endpoints | sed 's/,/", "/g')"
            printf 'ca = "pki/ca.pem"\ncert = "pki/%s.pem"\ncert_key = "pki/%s.key"\n' "$principal" "$principal"
        done
    } >"$run_dir/profiles.toml.new"
    mv "$run_dir/profiles.toml.new" "$run_dir/profiles.toml"
}

make_files() {
    local node
    mkdir -p "$run_dir"/custodians
    choose_hsm
    link_programs
    "$dev_dir/pki.sh" "$pki_dir"
    [[ -s $run_dir/cluster-id ]] || openssl rand -hex 16 >"$run_dir/cluster-id"
    for node in "${nodes[@]}"; do
        mkdir -p "$(node_dir "$node")"
        (make_token "$node")
        write_config "$node"
    done
    write_env
    write_profiles
}

# --- nodes -------------------------------------------------------------------------------------

# check_port NODE ADDRESS: nobody listens there.
check_port() {
    local host=${2%:*} port=${2#*:} holder=''
    if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
        holder=$(ss -Hltnp "sport = :$port" 2>/dev/null | grep -o 'users:.*' || true)
        fail "node $1 cannot start: port $port is in use${holder:+ by $holder}. Stop what holds it, and try again"
    fi
}

start_node() {
    local node=$1 dir
    dir=$(node_dir "$node")
    check_port "$node" "$(api_address "$node")"
    check_port "$node" "$(peer_address "$node")"
    [[ $hsm != pkcs11 ]] || export SOFTHSM2_CONF=$dir/softhsm2.conf
    if [[ -z $(ls -A "$dir/data" 2>/dev/null) ]]; then
        conclaved format --config "$dir/config.toml" >>"$dir/log" 2>&1 || {
            tail -n 5 "$dir/log" >&2
            fail "node $node: its data directory could not be prepared, see $dir/log"
        }
    fi
    setsid nohup conclaved --config "$dir/config.toml" >>"$dir/log" 2>&1 </dev/null 9>&- &
    printf '%s\n' "$!" >"$dir/pid"
}

# Sets `started` to the nodes that were not running.
start_nodes() {
    local node
    started=()
    for node in "${nodes[@]}"; do
        if ! node_pid "$node" >/dev/null; then
            start_node "$node"
            started+=("$node")
        fi
    done
    if ((${#started[@]} == 0)); then
        say 'the three nodes are running already'
    else
        say "started: node ${started[*]}"
    fi
}

# Prints, for each node that answers, its number and its seal: uninitialized, sealed or unsealed.
read_seals() {
    { conclave status --output json 2>/dev/null || true; } | python3 "$dev_dir/seals.py"
}

check_alive() {
    local node dir
    for node in "${nodes[@]}"; do
        # A process that was just forked has our own command line for an instant.
        if ! node_pid "$node" >/dev/null && sleep 0.5 && ! node_pid "$node" >/dev/null; then
            dir=$(node_dir "$node")
            tail -n 8 "$dir/log" >&2
            fail "node $node has stopped; its last words are above, all of them in $dir/log"
        fi
    done
}

# wait_until WHAT FUNCTION: polls until the function succeeds, or the deadline passes, or a node dies.
wait_until() {
    local deadline=$((SECONDS + start_deadline_s))
    until "$2"; do
        check_alive
        if ((SECONDS >= deadline)); then
            conclave status >&2 || true
            fail "waited $start_deadline_s s in vain for $1: see $run_dir/node*/log"
        fi
        sleep 0.2
    done
}

all_answer() {
    [[ $(read_seals | wc -l) -eq ${#nodes[@]} ]]
}

# Asks the leader, so it answers only when there is one.
cluster_answers() {
    conclave access list --output json >/dev/null 2>&1
}

all_unsealed() {
    [[ $(read_seals | grep -c ' unsealed$') -eq ${#nodes[@]} ]]
}

# --- custody -----------------------------------------------------------------------------------

# as PRINCIPAL COMMAND…: runs it with that principal's certificate.
as() {
    local principal=$1
    shift
    CONCLAVE_CERT=$pki_dir/$principal.pem CONCLAVE_CERT_KEY=$pki_dir/$principal.key "$@"
}

# An age identity for each custodian. A person keeps it to himself; here all are in one directory.
make_identities() {
    local name dir
    for name in "${custodians[@]}"; do
        dir=$run_dir/custodians/$name
        if [[ ! -s $dir/identity.txt || ! -s $dir/recipient.txt ]]; then
            mkdir -p "$dir"
            rm -f "$dir/identity.txt"
            conclave custody keygen --out "$dir/identity.txt" >"$dir/recipient.txt" 2>"$dir/keygen.log" || {
                cat "$dir/keygen.log" >&2
                fail "no age identity could be made for $name"
            }
            rm "$dir/keygen.log"
        fi
    done
}

hold_ceremony() {
    local name fresh=$run_dir/ceremony arguments=()
    make_identities
    for name in "${custodians[@]}"; do
        arguments+=(--custodian "$name=$(cat "$run_dir/custodians/$name/recipient.txt")")
    done
    rm -rf "$fresh"
    mkdir "$fresh"
    say "the ceremony: a root key for ${#custodians[@]} custodians (${custodians[*]}), threshold $threshold"
    conclave custody init "${arguments[@]}" --threshold "$threshold" --out "$fresh" >/dev/null
    for name in "${custodians[@]}"; do
        mv "$fresh/$name/share.age" "$run_dir/custodians/$name/share.age"
    done
    rm -rf "$fresh"
}

has_shares() {
    local name count=0
    for name in "${custodians[@]}"; do
        [[ ! -s $run_dir/custodians/$name/share.age ]] || count=$((count + 1))
    done
    ((count >= threshold))
}

unseal() {
    local name
    for name in "${custodians[@]}"; do
        [[ -s $run_dir/custodians/$name/share.age ]] || continue
        say "custodian $name submits a share to every sealed node"
        # One that an interrupted run had submitted already does not count twice: the next one does.
        as "$name" conclave custody unseal --share "$run_dir/custodians/$name/share.age" \
            --identity "$run_dir/custodians/$name/identity.txt" | sed 's/^/  /' ||
            say "the share of $name was refused somewhere: the next custodian goes on"
        if all_unsealed; then
            return
        fi
    done
    wait_until 'all nodes to be unsealed' all_unsealed
}

bring_custody() {
    if all_unsealed; then
        say 'all nodes are unsealed already'
        return
    fi
    # Shares that were lost on the way can be made again until the first unseal; the node refuses later.
    if read_seals | grep -q ' uninitialized$' || ! has_shares; then
        hold_ceremony
    fi
    unseal
    say 'all nodes are unsealed'
}

# --- a key at work -----------------------------------------------------------------------------

on_node() {
    local node=$1
    shift
    CONCLAVE_ENDPOINTS=$(api_address "$node") "$@"
}

make_demo_key() {
    if conclave key get "$demo_key" >/dev/null 2>&1; then
        say "the key $demo_key is there already"
        return
    fi
    conclave access grant admin user '*' >/dev/null
    conclave access grant app user demo >/dev/null
    conclave key create "$demo_key" --protection hsm >/dev/null
    say "granted the role user to admin (on *) and app (on demo), and created the key $demo_key (protection HSM)"
}

show_demo_key() {
    local text='the same key on every node' opened
    opened=$(printf '%s' "$text" | on_node 1 conclave encrypt "$demo_key" | on_node 3 conclave decrypt)
    [[ $opened == "$text" ]] || fail "node 3 decrypted something else than node 1 encrypted"
    say "encrypted on node 1, decrypted on node 3: \"$opened\""
}

show_next() {
    cat <<END

The cluster is up. Try next, in a shell of your own:

  . cluster/dev/run/env
  conclave status
  echo hello | conclave encrypt $demo_key > hello.enc
  CONCLAVE_ENDPOINTS=$(api_address 3) conclave decrypt < hello.enc
  conclave audit list
  kill -9 "\$(cat cluster/dev/run/node1/pid)"     # the others go on; make up brings it back

make status, make down (keeps the data), make clean (deletes it). Logs: cluster/dev/run/node{1,2,3}/log
END
}

lock_cluster
make_files
# shellcheck disable=SC1091 # just written
source "$run_dir/env"
start_nodes
wait_until 'the nodes to answer' all_answer
wait_until 'a leader' cluster_answers
bring_custody
make_demo_key
show_demo_key
show_next
