# shellcheck shell=sh
# `. ./env.sh` makes `pulumi` and `geobench` work in this shell, without login or passphrase prompt.
# It works in sh, bash and zsh, and keeps a backend or passphrase that you have chosen.

if [ -n "${BASH_VERSION:-}" ]; then
    eval '_geobench=${BASH_SOURCE[0]}'
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval '_geobench=${(%):-%x}'
else
    _geobench=./env.sh # plain sh does not know the path of a sourced file
fi
_geobench=$(CDPATH='' cd -- "$(dirname -- "$_geobench")" && pwd)

if [ -x "$_geobench/.venv/bin/python" ] && [ -x "$_geobench/.state/pulumi/pulumi" ]; then
    # The virtual environment comes first: Pulumi runs the program with the first python on PATH.
    case ":$PATH:" in
    ":$_geobench/.venv/bin:$_geobench/.state/pulumi:"*) ;;
    *) export PATH="$_geobench/.venv/bin:$_geobench/.state/pulumi:$PATH" ;;
    esac
    export PULUMI_SKIP_UPDATE_CHECK=true
    # Pulumi's default is four operations per processor, and Pulumi.yaml has no field for it. A cloud takes its time for
    # each host, so hosts are created at once.
    export PULUMI_PARALLEL="${PULUMI_PARALLEL:-128}"
    # Drop what the env.sh of another checkout has set in this shell: nobody chose it.
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
    # Local hosts need root, and Pulumi's processes cannot ask for a password: sudo asks before they start.
    pulumi() {
        case " $* " in
        *" up "* | *" update "* | *" preview "* | *" refresh "* | *" destroy "*)
            if [ -t 0 ] && [ "$(id -u)" != 0 ] && command -v sudo >/dev/null && ! sudo -n true 2>/dev/null &&
                PYTHONPATH="$GEOBENCH_HOME" python -P -m stacks.local.selected "$@"; then
                sudo -v || return
            fi
            ;;
        esac
        command pulumi "$@"
    }
    unset _geobench
else
    if [ -d "$_geobench/.state" ] && [ ! -x "$_geobench/.state" ]; then
        echo "env.sh: user $(stat -c %U "$_geobench/.state") has set up $_geobench; continue as that user (sudo -s)" >&2
    else
        echo "env.sh: $_geobench is not set up; run 'make setup' there" >&2
    fi
    unset _geobench
    # Return from a sourced file; exit where this file was run as a script.
    # shellcheck disable=SC2317
    return 1 2>/dev/null || exit 1
fi
