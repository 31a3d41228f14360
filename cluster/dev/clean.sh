#!/usr/bin/env bash
# Stops the development cluster and deletes it: data, tokens, certificates and shares. What its keys encrypted is lost.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$0")/lib.sh"

[[ -d $run_dir ]] || {
    say 'there is no development cluster'
    exit
}
"$dev_dir/down.sh"
rm -rf "$run_dir"
say 'deleted the development cluster with all its keys'
