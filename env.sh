# shellcheck shell=sh
# `. ./env.sh` makes `pulumi` and `python -m benchmark` work in this shell: no login, no passphrase prompt.
# For sh, bash and zsh. A backend or a passphrase of your own choice is left alone.

if [ -n "${BASH_VERSION:-}" ]; then
    eval '_geobench=${BASH_SOURCE[0]}'
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_geobench=${(%):-%x}'
else
    _geobench=./env.sh # plain sh does not tell where a sourced file lies
fi
_geobench=$(CDPATH='' cd -- "$(dirname -- "$_geobench")" && pwd)

if [ -x "$_geobench/.venv/bin/python" ] && [ -x "$_geobench/.state/pulumi/pulumi" ]; then
    # The virtual environment comes first: Pulumi runs the program with the first python on PATH.
    case ":$PATH:" in
    ":$_geobench/.venv/bin:$_geobench/.state/pulumi:"*) ;;
    *) export PATH="$_geobench/.venv/bin:$_geobench/.state/pulumi:$PATH" ;;
    esac
    export PULUMI_SKIP_UPDATE_CHECK=true
    # What another checkout's env.sh has set in this shell is nobody's choice.
    [ "${PULUMI_BACKEND_URL:-}" != "file://${GEOBENCH_HOME:-}/.state" ] || unset PULUMI_BACKEND_URL
    [ "${PULUMI_CONFIG_PASSPHRASE_FILE:-}" != "${GEOBENCH_HOME:-}/.state/passphrase" ] || unset PULUMI_CONFIG_PASSPHRASE_FILE
    export GEOBENCH_HOME="$_geobench"
    if [ -z "${PULUMI_BACKEND_URL:-}${PULUMI_ACCESS_TOKEN:-}" ] &&
        ! grep -qs '"current": *"[^"]' "${PULUMI_HOME:-${HOME:-}/.pulumi}/credentials.json"; then
        export PULUMI_BACKEND_URL="file://$_geobench/.state"
    fi
    if [ -z "${PULUMI_CONFIG_PASSPHRASE+set}${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ] && [ -s "$_geobench/.state/passphrase" ]; then
        export PULUMI_CONFIG_PASSPHRASE_FILE="$_geobench/.state/passphrase"
    fi
    unset _geobench
else
    echo "env.sh: $_geobench is not set up; run 'make setup' there first" >&2
    unset _geobench
    # Ends the sourcing where that is possible, the script where this file was run.
    # shellcheck disable=SC2317
    return 1 2>/dev/null || exit 1
fi
