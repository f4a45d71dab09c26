#!/usr/bin/env bash
# Create the testbed of stack `dev` and run a benchmark on it. DURATION, such as 20s, is how long load is measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/setup/owner.sh
. tools/setup/owner.sh
. ./env.sh

# Local hosts need root. Pulumi's processes cannot ask for the password, so sudo asks here, once.
[ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null || sudo -n true 2>/dev/null || sudo -v
# The local provider is part of this project: the clouds' plugins need not be downloaded for it.
PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true pulumi up --yes --stack dev
# One node in each region: so two processors are about half busy, and the machine does not limit the result.
geobench run --stack dev --loads 200 --committee 3 ${DURATION:+--duration "$DURATION"} && outcome=0 || outcome=$?
cat <<'END'

Next, to type in this shell:
    . ./env.sh
    geobench status                          # the hosts
    geobench run --loads 100 --committee 5   # another load, more nodes
    geobench results                         # all results so far
    pulumi destroy                           # remove the testbed
END
exit "$outcome"
