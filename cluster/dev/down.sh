#!/usr/bin/env bash
# Stops the nodes of the development cluster, in order. Their data stays.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

[[ -d $run_dir ]] || {
    say 'there is no development cluster'
    exit
}
lock_cluster

asked=()
for node in "${nodes[@]}"; do
    if pid=$(node_pid "$node"); then
        kill -TERM "$pid"
        asked+=("$node")
    else
        rm -f "$(node_dir "$node")/pid"
    fi
done
if ((${#asked[@]} == 0)); then
    say 'no node is running'
    exit
fi

deadline=$((SECONDS + stop_deadline_s))
left=("${asked[@]}")
while ((${#left[@]} > 0 && SECONDS < deadline)); do
    still=()
    for node in "${left[@]}"; do
        if node_pid "$node" >/dev/null; then
            still+=("$node")
        else
            rm -f "$(node_dir "$node")/pid"
        fi
    done
    left=(${still[@]+"${still[@]}"})
    ((${#left[@]} == 0)) || sleep 0.1
done

for node in ${left[@]+"${left[@]}"}; do
    say "node $node did not stop within $stop_deadline_s s: see $(node_dir "$node")/log, or kill -9 $(node_pid "$node")" >&2
done
((${#left[@]} == 0)) || exit 1
say "stopped: node ${asked[*]}. make up starts them again; make clean deletes their data"
