#!/usr/bin/env bash
# Shows the nodes of the development cluster: their processes, and what they say of themselves.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

[[ -e $run_dir/env ]] || fail 'there is no development cluster: make up'

running=0
for node in "${nodes[@]}"; do
    if pid=$(node_pid "$node"); then
        printf 'node %s  process %s  %s\n' "$node" "$pid" "$(api_address "$node")"
        running=$((running + 1))
    else
        printf 'node %s  not running\n' "$node"
    fi
done
((running > 0)) || fail 'no node is running: make up'
# shellcheck disable=SC1091 # made by up.sh
source "$run_dir/env"
echo
conclave status
