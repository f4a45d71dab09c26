# shellcheck shell=bash
# Source this: continue as the owner of the checkout if root runs the script through sudo. Files of root in .state and
# .venv would lock the owner out. A login shell finds what sudo has removed from PATH.
owner=$(stat -c %U .)
if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$owner" != root ]; then
    unset SUDO_USER
    HOME=$(getent passwd "$owner" | cut -d: -f6) USER=$owner LOGNAME=$owner exec runuser -u "$owner" -- \
        bash -lc "cd \"\$0\" && exec \"\$@\"" "$PWD" "tools/setup/$(basename "$0")" "$@"
fi
