#!/usr/bin/env bash
# Print the folder of a usable Pulumi CLI: the user's own if recent enough, else one built from its Go modules.
# The build is kept in a cache outside the checkout, named by its versions, so that every clone finds it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
minimum=3.259.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/geobench

die() {
    echo "install_pulumi: $*" >&2
    exit 1
}

at_least() { # at_least MINIMUM VERSION
    printf '%s\n%s\n' "$1" "$2" | sort -C -V
}

module_version() { # module_version FOLDER MODULE
    awk -v module="$2" '$1 == "require" { sub(/^require /, "") } $1 == module { print $2 }' "$here/$1/go.mod"
}

cli_version=$(module_version pulumi-cli github.com/pulumi/pulumi/pkg/v3)
host_version=$(module_version pulumi-language-python github.com/pulumi/pulumi/sdk/v3)
target=$cache/pulumi-${cli_version#v}-python-${host_version#v}

own=$(type -P pulumi || true)
if [ -n "$own" ] && [[ $(readlink -f "$own") != "$(readlink -m "$cache")"/* ]]; then
    version=$(PULUMI_SKIP_UPDATE_CHECK=true "$own" version)
    if at_least "$minimum" "${version#v}" && type -P pulumi-language-python >/dev/null; then
        dirname "$own"
        exit 0
    fi
    echo "install_pulumi: $own is $version, $minimum or later is needed; building one" >&2
fi
if [ -x "$target/bin/pulumi" ]; then
    echo "$target/bin"
    exit 0
fi

go_minimum=$(awk '$1 == "go" { print $2 }' "$here/pulumi-cli/go.mod")
wanted="Pulumi CLI >= $minimum (https://www.pulumi.com/docs/install/) or Go >= $go_minimum to build it"
command -v go >/dev/null || die "neither found on PATH: $wanted"
go_version=$(GOTOOLCHAIN=local go env GOVERSION)
at_least "$go_minimum" "${go_version#go}" || die "found Go ${go_version#go}, expected $wanted"
[ "${1:-}" != --check ] || exit 0

mkdir -p "$cache"
exec 9>"$cache/build.lock"
flock 9
if [ ! -x "$target/bin/pulumi" ]; then # another run may have built it while this one waited
    work=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOWORK=off
    build() { # build FOLDER VERSION PACKAGE: compile it and count its packages, in a subshell
        local count=0 line total
        cd "$here/$1"
        echo "downloading the modules of $3 $2"
        total=$(go list -mod=readonly -tags osusergo -deps "$3" | wc -l)
        go build -v -mod=readonly -trimpath -tags osusergo -o "$work/bin/" \
            -ldflags "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=$2" "$3" 2>&1 |
            while IFS= read -r line; do # mawk would wait for more input before it prints
                case $line in
                *' '*) echo "$line" ;; # what is downloaded, and errors
                *) echo "compiled $((++count)) of $total packages" ;;
                esac
            done
    }
    echo "install_pulumi: building the Pulumi CLI $cli_version, once; this takes some minutes" >&2
    (build pulumi-language-python "$host_version" github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python) >&2
    (build pulumi-cli "$cli_version" github.com/pulumi/pulumi/pkg/v3/cmd/pulumi) >&2
    sdk=$(cd "$here/pulumi-language-python" && go list -mod=readonly -m -f '{{.Dir}}' github.com/pulumi/pulumi/sdk/v3)
    install -m 755 "$sdk/python/cmd/pulumi-language-python-exec" "$sdk/python/dist/pulumi-resource-pulumi-python" "$work/bin/"
    chmod 755 "$work"
    rm -rf "$target"
    mv "$work" "$target"
fi
echo "$target/bin"
