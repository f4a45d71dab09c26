#!/usr/bin/env bash
# Create the testbed of stack `dev` and run a benchmark on it. DURATION, such as 20s, is how long load is measured.
set -euo pipefail
cd "$(dirname "$0")/../.."
. ./env.sh

# The local provider is part of this project: the clouds' plugins need not be downloaded for it.
PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true pulumi up --yes --stack dev
python -m benchmark run --stack dev --loads 200 ${DURATION:+--duration "$DURATION"} && outcome=0 || outcome=$?
cat <<'END'

Next, to type in this shell:
    . ./env.sh
    python -m benchmark status            # the hosts
    python -m benchmark run --loads 500   # another load
    python -m benchmark results           # all results so far
    pulumi destroy                        # remove the testbed
END
exit "$outcome"
