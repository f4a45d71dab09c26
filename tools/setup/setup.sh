#!/usr/bin/env bash
# Make this checkout ready: Debian packages, .venv, Pulumi CLI, passphrase, stack. Running it again takes seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/setup/owner.sh
. tools/setup/owner.sh
# shellcheck source=tools/setup/steps.sh
. tools/setup/steps.sh
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

make_venv() {
    local wanted index
    wanted=$("$python" --version && cat "$lock")
    wanted=$(sha256sum <<<"$wanted")
    if [ "$(cat .venv/requirements.sha256 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/geobench ] &&
        .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    "$python" -c 'import venv, ensurepip' 2>/dev/null || die "$python has no venv module; install python3-venv"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
    # Every file must have the hash of the lock. First the installers themselves: the bundled pip can be years old, and
    # a source package is built with the setuptools of the lock instead of what an isolated build would download.
    awk '/^[^ ]/ { wanted = /^(pip|setuptools|uv)==/ } wanted' "$lock" >.venv/installer.lock
    .venv/bin/python -m pip install --no-input --no-compile --progress-bar off --require-hashes \
        -r .venv/installer.lock ||
        die "pip failed"
    # uv takes a tenth of pip's time, but ignores pip's configuration: if it cannot find the packages, pip takes over.
    index=${PIP_INDEX_URL:-$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)}
    .venv/bin/uv pip install --python .venv/bin/python ${index:+--default-index "$index"} --system-certs \
        --require-hashes --no-build-isolation -r "$lock" ||
        .venv/bin/python -m pip install --no-input --progress-bar off --require-hashes --no-build-isolation -r "$lock" ||
        die "neither uv nor pip could install the packages of $lock"
    # `geobench` runs this checkout, so it need not be installed again when the code changes.
    [ -x .venv/bin/geobench ] ||
        .venv/bin/uv pip install --python .venv/bin/python --offline --no-deps --no-build-isolation --editable . ||
        die "uv failed"
    echo "$wanted" >.venv/requirements.sha256
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

install_cli() {
    local folder
    folder=$(tools/setup/install_pulumi.sh)
    ln -sfn "$folder" .state/pulumi
}

check_prerequisites
mkdir -p -m 700 .state
exec 8>.state/setup.lock
flock --nonblock 8 || { echo "waiting for another set-up of this checkout" && flock 8; }
log_to .state/setup.log
missing=$(tools/setup/install_packages.sh --missing)
if [ -n "$missing" ]; then
    echo "installing Debian packages, without starting their services: $missing"
    ask_for_root
fi
step "Debian packages" tools/setup/install_packages.sh
step "Python packages in .venv" make_venv
step "Pulumi CLI" install_cli
step "stack dev" select_stack
hide_local_configuration
echo "ready: '. ./env.sh', then 'pulumi up'"
