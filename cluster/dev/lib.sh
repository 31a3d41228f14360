# shellcheck shell=bash
# What the scripts of the development cluster share. Sourced, not run.
# shellcheck disable=SC2034 # used by those who source it

dev_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly dev_dir
readonly run_dir=$dev_dir/run
readonly nodes=(1 2 3)
readonly custodians=(alice bob carol dave erin)
readonly threshold=3
# Principals without a role, for the guides; app uses keys of keyring demo.
readonly principals=(app clerk lead migrator operator)
readonly start_deadline_s=60
readonly stop_deadline_s=10

# Everything here is a secret or leads to one.
umask 077

say() {
    printf 'conclave: %s\n' "$*"
}

fail() {
    printf 'conclave: %s\n' "$*" >&2
    exit 1
}

node_dir() {
    printf '%s/node%s' "$run_dir" "$1"
}

api_address() {
    printf '127.0.0.1:710%s' "$1"
}

peer_address() {
    printf '127.0.0.1:720%s' "$1"
}

all_endpoints() {
    local node list=''
    for node in "${nodes[@]}"; do
        list+=${list:+,}$(api_address "$node")
    done
    printf '%s' "$list"
}

# Prints the node's process id if it runs. A recycled id does not count: the command line must be ours.
node_pid() {
    local pid
    pid=$(cat "$(node_dir "$1")/pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$(node_dir "$1")/config.toml" || return 1
    printf '%s' "$pid"
}

# One at a time: two at once would start nodes twice.
lock_cluster() {
    mkdir -p "$run_dir"
    exec 9>"$run_dir/lock"
    flock --nonblock 9 || fail "another make up, down or clean is at work on this cluster: wait for it"
}
