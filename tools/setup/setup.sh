#!/usr/bin/env bash
# Make this checkout ready: Debian packages, .venv, Pulumi CLI, passphrase, stack. Running it again takes seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/setup/owner.sh
. tools/setup/owner.sh
python=${PYTHON:-python3}
lock=tools/setup/requirements.lock
umask 022

die() {
    echo "setup: $*" >&2
    exit 1
}

check_prerequisites() {
    command -v "$python" >/dev/null || die "$python not found; Python >= 3.11 is needed"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "found $("$python" --version), expected Python >= 3.11; PYTHON=/path/to/python3 make setup names another"
    tools/setup/install_pulumi.sh --check >/dev/null
}

install_locked() { # install_locked [OPTION]... FILE
    .venv/bin/python -m pip install --quiet --no-input --require-hashes "${@:1:$#-1}" -r "${@: -1}" || die "pip failed"
}

make_venv() {
    local wanted
    wanted=$("$python" --version && cat "$lock")
    wanted=$(sha256sum <<<"$wanted")
    if [ "$(cat .venv/requirements.sha256 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null || die "$python has no venv module; install python3-venv"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
    echo "installing Python packages into .venv"
    # Every file must have the hash of the lock. First the installer itself: the bundled pip can be years old, and a
    # source package is built with the setuptools of the lock instead of what an isolated build would download.
    awk '/^[^ ]/ { wanted = /^(pip|setuptools)==/ } wanted' "$lock" >.venv/installer.lock
    install_locked .venv/installer.lock
    install_locked --no-build-isolation "$lock"
    echo "$wanted" >.venv/requirements.sha256
}

# `geobench` runs this checkout, so it need not be installed again when the code changes.
install_command() {
    [ -x .venv/bin/geobench ] ||
        .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable . || die "pip failed"
}
# Pulumi writes into Pulumi.dev.yaml what belongs to this machine alone: the salt of its passphrase, and the values of
# `pulumi up -c NAME=VALUE`. Git ignores both; `git update-index --no-skip-worktree Pulumi.dev.yaml` ends that, and then
# the filter still keeps the salt out of commits.
hide_local_configuration() {
    git rev-parse --git-dir >/dev/null 2>&1 || return 0
    git config filter.geobench-salt.clean "sed '/^encryptionsalt:/d'"
    git update-index --skip-worktree Pulumi.dev.yaml || true # another git may be at work; next time will do
}

make_passphrase() {
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >.state/passphrase.new)
    mv .state/passphrase.new .state/passphrase
    sed -i '/^encryptionsalt:/d' Pulumi.dev.yaml # of an older passphrase that is gone
}

select_stack() {
    local current
    # shellcheck source=env.sh
    . ./env.sh
    if [ -z "${PULUMI_CONFIG_PASSPHRASE+set}${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ]; then
        make_passphrase
        . ./env.sh
    fi
    current=$(pulumi stack --show-name --non-interactive 2>/dev/null) || current=dev
    pulumi stack select dev --create --non-interactive
    [ "$current" = dev ] || pulumi stack select "$current" --non-interactive
}

check_prerequisites
mkdir -p -m 700 .state
exec 8>.state/setup.lock
flock 8
tools/setup/install_packages.sh
make_venv
install_command
pulumi=$(tools/setup/install_pulumi.sh)
ln -sfn "$pulumi" .state/pulumi
select_stack
hide_local_configuration
echo "ready: '. ./env.sh', then 'pulumi up'"
