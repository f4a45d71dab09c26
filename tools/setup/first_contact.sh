#!/usr/bin/env bash
# Follow README.md in a fresh clone on a fresh machine: `make demo`, then the commands for a local testbed. Print the time
# and lines that the demo took, and what the machine has afterwards that it did not have before. It is an error if that
# is more than packages and their accounts, or if a file of the checkout belongs to another user.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    echo "first_contact: $*" >&2
    exit 1
}

# A loaded machine can make a run invalid, or `check` fail, both with exit code 1: that is no fault of the set-up.
run() { # run COMMAND: as a user would type it, in one shell
    local status=0
    echo "\$ $1"
    eval "$1" || status=$?
    case "$status $1" in
    "0 "*) ;;
    "1 geobench run "* | "1 geobench check"*) echo "== exit code 1: this machine is too loaded for valid results" ;;
    *) die "$1: exit code $status" ;;
    esac
}

record() { # record FILE
    tools/setup/machine_state.sh | sort >"$work/$1"
}

unchanged() {
    record after
    diff "$work/before" "$work/after" | grep '^[<>]' >"$work/changes" || true
    ! grep -qEv '^> (package|account) ' "$work/changes"
}

record before
echo '$ make demo'
TIMEFORMAT='== make demo: %R s, processor time %U s + %S s (kernel)'
time make demo 2>&1 | tee "$work/demo" || grep -q ' invalid ' "$work/demo" || die "make demo failed"
lines=$(grep -cv ': [0-9]* s, ' "$work/demo") # without what shows every 30 s that a step goes on
echo "== $lines lines, $(grep -c '^warning: ' "$work/demo") warnings"
[ "$lines" -le 60 ] || die "more than 60 lines"

run '. ./env.sh'
run 'pulumi up --yes >up.log'
rm up.log
run 'geobench status'
run 'geobench check'
run 'geobench run --loads 100 --committee 3 --warm-up 5s --duration 5s'
run 'geobench report latest'
run 'geobench results'
run 'geobench ssh us-east-1-1 hostname'
run 'geobench stop'
run 'pulumi destroy --yes >destroy.log'
rm destroy.log

deadline=$((SECONDS + 60)) # processes of hosts may take a moment to end
until unchanged || [ "$SECONDS" -gt "$deadline" ]; do read -rt 1 <> <(:) || true; done
for kind in package account; do
    names=$(sed -n "s/^> $kind \([^ ]*\).*/\1/p" "$work/changes" | xargs)
    echo "== $(wc -w <<<"$names") new ${kind}s: $names" | fold -sw 118
done
if grep -Ev '^> (package|account) ' "$work/changes"; then die "the lines above are changes to the machine"; fi
foreign=$(find . "$HOME" ! -user "$(id -un)" -printf '%p ' -quit)
[ -z "$foreign" ] || die "$foreign does not belong to user $(id -un)"
echo "== nothing else has changed; all files of the checkout and in $HOME belong to $(id -un)"
