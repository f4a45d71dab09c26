#!/usr/bin/env bash
# Create the testbed of stack `dev` and run a benchmark on it. DURATION, 20s by default, is how long load is measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/setup/owner.sh
. tools/setup/owner.sh
# shellcheck source=tools/setup/steps.sh
. tools/setup/steps.sh
. ./env.sh

log_to .state/demo.log
ask_for_root # Pulumi's processes, which create the local hosts, cannot ask for the password.
# The local provider is part of this project: the clouds' plugins need not be downloaded for it.
export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
step "local testbed: 12 hosts in 3 regions" pulumi up --yes --stack dev

# One node in each region at a load with which two processors are idle most of the time: the result is the network's.
duration=${DURATION:-20s}
benchmark() {
    geobench run --stack dev --loads 100 --committee 3 --duration "$duration" | tee .state/demo.result
}
step "benchmark: etcd on 3 hosts, 100 tx/s for $duration" benchmark
cat <<'END'

Next, in a shell:
    . ./env.sh
    geobench status                          # the hosts
    geobench run --loads 200 --committee 5   # another load, more nodes
    geobench report                          # the latest result as an HTML page
    pulumi destroy                           # remove the testbed

END
cat .state/demo.result
