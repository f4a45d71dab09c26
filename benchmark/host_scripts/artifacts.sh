#!/usr/bin/env bash
# Lists, stores and builds artifacts on one host. usage: artifacts.sh WORKING_DIRECTORY VERB ARGUMENTS
#   list                    prints `arch NAME`, `artifact SHA`, `built KEY SHA`, `changed KEY PATH`
#   describe SHA            prints `file SHA256 SIZE NAME`
#   store SHA               reads the artifact from standard input, as a gzipped tar archive
#   resolve URL REF FILE... prints `commit HASH`, `previous HASH UNIX_TIME`, and `file NAME` for each FILE at the top of
#                           the commit; on failure `known NAME` or `ambiguous`
#   build URL COMMIT KEY COMMAND OUTPUT...
#                           prints the log of the build, and on standard error `artifact SHA`, `changed PATH`; or on
#                           failure `failed CODE`, `missing PATH`, `ambiguous PATHS`. An OUTPUT is a path, or the name
#                           of an executable file anywhere in the checkout; without any, it is all that were created
# resolve and build read the user name and the password of the repository from standard input, one per line, either may
# be empty, and stop when their input ends. Exit codes: 4 git failed, 5 the build failed, 6 the content is not as requested.
set -u
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND='ssh -o BatchMode=yes'
unset GIT_ASKPASS SSH_ASKPASS
mkdir -p "$1/artifacts/index" "$1/artifacts/resolved" && cd "$1/artifacts" || exit 1
verb=$2
shift 2

name_of() { # FOLDER: prints the artifact's name, a digest of its content
    (cd "$1" && sha256sum -- * | sha256sum) | cut -d ' ' -f 1
}

keep() { # FOLDER [NAME]: move it to the folder of its name, unless that exists; fail if it is not NAME
    local name
    chmod 555 "$1"/* && name=$(name_of "$1") || return
    [[ -n ${2:-} && $name != "$2" ]] && echo "content has digest $name, expected $2" >&2 && return 6
    if [[ -d $name ]]; then rm -rf "$1"; else sync -- "$1"/* && mv -T "$1" "$name"; fi
    echo "$name"
}

short() { local sum; sum=$(printf '%s' "$*" | sha256sum) && echo "${sum:0:16}"; }

list() {
    local entry kind value key
    echo "arch $(uname -m)"
    for entry in [0-9a-f]*/; do [[ ${#entry} == 65 ]] && echo "artifact ${entry%/}"; done
    for entry in index/*; do
        [[ -f $entry ]] || continue
        key=${entry#index/}
        while read -r kind value; do
            case $kind in artifact) echo "built $key $value" ;; changed) echo "changed $key $value" ;; esac
        done <"$entry"
    done
}

describe() {
    cd "$1" || return
    local sum name
    while read -r sum name; do echo "file $sum $(stat -c %s -- "$name") $name"; done < <(sha256sum -- *)
}

store() {
    local folder
    folder=$(mktemp -d .store.XXXXXX) && chmod 755 "$folder" && tar -xzf - -C "$folder" --no-same-owner && keep "$folder" "$1" && return
    rm -rf "$folder"
    return 6
}

# --- git -----------------------------------------------------------------------------------------------------------

# The password stays in this shell's memory and in a pipe that only this login can open. Git's credential helper reads
# it from the pipe, for the repository's host only. It never appears in an argument, the environment or a file.
private='' feeder=''
feed() {
    local username=$1 password=$2
    [[ -n $username$password ]] || return 0
    private=$(mktemp -d) && mkfifo -m 600 "$private/secret" || return
    (trap '' PIPE; while [[ -p $private/secret ]]; do
        printf 'username=%s\npassword=%s\n' "$username" "$password" >"$private/secret"
    done) >/dev/null 2>&1 &
    feeder=$!
}

forget() {
    [[ -n $feeder ]] && kill "$feeder" && wait "$feeder"
    [[ -n $private ]] && rm -rf "$private"
    private='' feeder=''
} 2>/dev/null

with_credentials() { # ARGUMENTS of git; the credentials are those of the repository $url
    local -a options=(-c credential.helper=)
    local server
    if [[ -n $private ]]; then
        server=${url#*://}
        options+=(-c "credential.${url%%://*}://${server%%/*}.helper=!head -n 2 $private/secret #")
    fi
    # The submodules of a repository on this host are on this host, too.
    case $url in /* | file://*) options+=(-c protocol.file.allow=always) ;; esac
    git "${options[@]}" "$@"
}

has() { git -C "$mirror" cat-file -e "$1^{commit}" 2>/dev/null; }

open_mirror() {
    mirror=$PWD/mirrors/$(short "$url")
    git init --quiet --bare "$mirror" && git -C "$mirror" config gc.auto 0 || exit 4
}

update() { # REF: update the mirror, and fetch REF if it is neither a branch nor a tag
    with_credentials -C "$mirror" fetch --quiet --force --prune --no-recurse-submodules "$url" \
        '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' || exit 4
    if [[ $1 == refs/* ]]; then
        with_credentials -C "$mirror" fetch --quiet "$url" "+$1:$1"
    elif [[ $1 =~ ^[0-9a-f]{40}$ ]] && ! has "$1"; then
        with_credentials -C "$mirror" fetch --quiet "$url" "$1"
    fi
}

find_commit() { # REF
    local branch tag
    if [[ $1 == refs/* || $1 =~ ^[0-9a-f]{40}$ ]]; then
        git -C "$mirror" rev-parse --quiet --verify "$1^{commit}"
        return
    fi
    branch=$(git -C "$mirror" rev-parse --quiet --verify "refs/heads/$1^{commit}")
    tag=$(git -C "$mirror" rev-parse --quiet --verify "refs/tags/$1^{commit}")
    if [[ -n $branch && -n $tag && $branch != "$tag" ]]; then
        echo ambiguous >&3
    elif [[ -n $branch$tag ]]; then
        echo "${branch:-$tag}"
    elif [[ $1 =~ ^[0-9a-f]{4,39}$ ]]; then
        git -C "$mirror" rev-parse --quiet --verify "$1^{commit}"
    fi
}

resolve() { # URL REF FILE...
    url=$1
    local ref=$2 commit memory
    shift 2
    open_mirror
    if [[ ! $ref =~ ^[0-9a-f]{40}$ ]] || ! has "$ref"; then update "$ref"; fi
    commit=$(find_commit "$ref" 3>&1 | tail -n 1)
    case $commit in
    ambiguous) echo ambiguous ;;
    '') git -C "$mirror" for-each-ref --sort=-committerdate --format='known %(refname:lstrip=2)' refs/heads refs/tags ;;
    *)
        memory=resolved/$(short "$url" "$ref")
        [[ -f $memory ]] && echo "previous $(<"$memory")"
        echo "$commit $(date +%s)" >"$memory.new" && mv "$memory.new" "$memory"
        echo "commit $commit"
        git -C "$mirror" ls-tree --name-only "$commit" -- "$@" | sed 's/^/file /'
        ;;
    esac
}

check_out() { # COMMIT: check out exactly COMMIT, with its submodules, to $tree
    rm -rf "$tree" && mkdir -p "${tree%/*}" || return 4
    git clone --quiet --no-checkout --local "$mirror" "$tree" && cd "$tree" && git remote set-url origin "$url" &&
        git checkout --quiet --detach "$1" && with_credentials submodule update --quiet --init --recursive || return 4
    local found changed
    # Reset git's cached file times, so that `git status` compares contents.
    git read-tree HEAD && git submodule --quiet foreach --recursive git read-tree HEAD || return 4
    found=$(git rev-parse HEAD)
    changed=$(git status --porcelain --ignore-submodules=none)
    [[ $found == "$1" && -z $changed ]] && return
    printf 'checked out %s instead of %s; changed:\n%s\n' "$found" "$1" "$changed"
    return 6
}

executables() { find . -name .git -prune -o -type f -perm -u+x "$@" -print0 | sort -z; }

created() { # executable files that are not tracked
    comm -z -23 <(executables) <(git ls-files -z --recurse-submodules | sed -z 's,^,./,' | sort -z)
}

find_outputs() { # OUTPUT...: set $outputs to their paths
    local output found doubled
    outputs=()
    (($# > 0)) || mapfile -d '' -t outputs < <(created)
    for output; do
        found=("$output")
        [[ -f $output || $output == */* ]] || mapfile -d '' -t found < <(executables -name "$output")
        [[ -f ${found[0]-} ]] || { echo "missing $output" >&3; return 5; }
        ((${#found[@]} == 1)) || { echo "ambiguous ${found[*]#./}" >&3; return 5; }
        outputs+=("${found[0]}")
    done
    ((${#outputs[@]})) || { echo missing >&3; return 5; }
    doubled=$(printf '%s\n' "${outputs[@]##*/}" | sort | uniq -d)
    [[ -z $doubled ]] || { echo "ambiguous ${outputs[*]#./}" >&3; return 5; }
}

build() { # URL COMMIT KEY COMMAND OUTPUT...
    url=$1
    local commit=$2 key=$3 command=$4 tree output outputs code name changed
    local folder=$PWD/build/out cache top=$PWD
    shift 4
    open_mirror
    has "$commit" || update "$commit"
    tree=$PWD/build/$(short "$url")
    cache=$tree.cache
    check_out "$commit" || exit
    forget
    rm -rf "$folder" && mkdir -p "$cache" "$folder" || exit
    BUILD_CACHE=$cache bash -e -o pipefail -c "$command" build </dev/null
    code=$?
    ((code == 0)) || { echo "failed $code" >&3; exit 5; }
    find_outputs "$@" || exit
    for output in "${outputs[@]}"; do
        cp --sparse=always -- "$output" "$folder/${output##*/}" || exit
    done
    changed=$(git status --porcelain --untracked-files=no --ignore-submodules=none | cut -c 4-)
    cd "$top" && name=$(keep "$folder") || exit
    { echo "artifact $name"; [[ -n $changed ]] && printf 'changed %s\n' "${changed//$'\n'/$'\n'changed }"; } >"index/.$key"
    mv "index/.$key" "index/$key" && cat "index/$key" >&3
    rm -rf "$tree"
}

until_input_ends() { # COMMAND...: run it in a separate process group that is killed when standard input ends
    local username='' password='' job watcher code
    IFS= read -r username
    IFS= read -r password
    set -m
    (trap forget EXIT; feed "$username" "$password" && "$@") 0</dev/null &
    job=$!
    exec 2>/dev/null # this shell would report how its jobs ended
    # The watcher needs this shell's input explicitly: that of a background job is /dev/null.
    (cat >/dev/null; kill -TERM -- "-$job"; sleep 2; kill -KILL -- "-$job") <&0 >/dev/null 2>&1 &
    watcher=$!
    wait "$job"
    code=$?
    kill -KILL -- "-$watcher" "-$job" 2>/dev/null
    return "$code"
}

case $verb in
list | describe | store) "$verb" "$@" ;;
resolve) until_input_ends resolve "$@" ;;
build) until_input_ends build "$@" 3>&2 2>&1 ;;
*) echo "unknown verb $verb" >&2; exit 2 ;;
esac
