# Shared by ./dev and scripts/dev/install.sh: where things are, how to speak, how to run a step that can be interrupted.
# shellcheck shell=sh

NODE_VERSION=24.21.0
NODE_MAJOR_MIN=24
NPM_VERSION=11.21.2
NPM_MAJOR_MIN=10
JAVA_MAJOR_MIN=17

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/settlefleet
TOOLCHAIN=$ROOT/.dev/toolchain
LOG_DIRECTORY=$ROOT/.dev/log
STAMP=$ROOT/node_modules/.settlefleet

# Progress goes to standard error: standard output belongs to the command that was asked for.
say() {
    printf '%s\n' "$*" >&2
}

fail() {
    printf 'dev: %s\n' "$*" >&2
    exit 1
}

# Runs one command with its output kept in a log; says what it was and how long it took. On failure the log's end is
# shown. The command has a process group of its own where the system can do that, so that an interruption ends all of it.
step() {
    step_label=$1
    shift
    mkdir -p "$LOG_DIRECTORY"
    step_log=$LOG_DIRECTORY/$(printf '%s' "$step_label" | tr -c 'a-zA-Z0-9\n' '-').log
    step_began=$(date +%s)
    printf '%s ...' "$step_label" >&2
    step_code=0
    in_own_group "$@" >"$step_log" 2>&1 || step_code=$?
    step_took=$(($(date +%s) - step_began))
    if [ "$step_code" -eq 0 ]; then
        printf ' %s s\n' "$step_took" >&2
        return 0
    fi
    printf ' failed after %s s\n' "$step_took" >&2
    tail -n 40 "$step_log" >&2
    printf 'dev: the whole log is %s\n' "$step_log" >&2
    return "$step_code"
}

group_pid=

in_own_group() {
    if ! command -v setsid >/dev/null 2>&1; then
        "$@"
        return
    fi
    # A shell runs a trap only between commands; `wait` is the one that a signal interrupts.
    trap 'end_group INT 130' INT
    trap 'end_group TERM 143' TERM
    trap 'end_group HUP 129' HUP
    setsid "$@" </dev/null &
    group_pid=$!
    group_code=0
    wait "$group_pid" || group_code=$?
    group_pid=
    trap - INT TERM HUP
    return "$group_code"
}

end_group() {
    trap '' INT TERM HUP
    if [ -n "$group_pid" ]; then
        kill -s TERM -- "-$group_pid" 2>/dev/null || :
        # The group may still be tidying up (a lock, a half-written file): it gets five seconds.
        tries=0
        while kill -s 0 -- "-$group_pid" 2>/dev/null && [ "$tries" -lt 50 ]; do
            sleep 0.1 2>/dev/null || sleep 1
            tries=$((tries + 1))
        done
        kill -s KILL -- "-$group_pid" 2>/dev/null || :
    fi
    printf '\ndev: interrupted\n' >&2
    exit "$2"
}

# Brings the named things (node, dependencies, stack, browser, collector) and sets NODE and what is called after them. When nothing changed since
# the last call this is a handful of file tests.
bring() {
    for thing in node "$@"; do
        if ! is_current "$thing"; then
            install_code=0
            in_own_group sh "$ROOT/scripts/dev/install.sh" "$@" || install_code=$?
            [ "$install_code" -eq 0 ] || exit "$install_code"
            break
        fi
    done
    . "$TOOLCHAIN/node"
    case " $* " in *' stack '*) . "$TOOLCHAIN/stack" ;; esac
    case " $* " in *' browser '*) . "$TOOLCHAIN/browser" ;; esac
    case " $* " in *' collector '*) . "$TOOLCHAIN/collector" ;; esac
    PATH=$(dirname -- "$NODE"):$PATH
    export PATH
}

# Whether a thing is there as this checkout wants it. Each toolchain file is older than no script that made it.
is_current() {
    case $1 in
    node)
        [ -f "$TOOLCHAIN/node" ] || return 1
        [ -z "$(find "$ROOT/scripts/dev" -name '*.sh' -newer "$TOOLCHAIN/node")" ] || return 1
        . "$TOOLCHAIN/node"
        [ -x "$NODE" ]
        ;;
    dependencies)
        [ -f "$STAMP/node" ] && [ "$(cat "$STAMP/node")" = "$NODE" ] &&
            cmp -s "$ROOT/package-lock.json" "$STAMP/package-lock.json" &&
            # The bridge is older than nothing that it is made of. One that could not be built is tried again when that changes.
            [ -z "$(find "$ROOT/src/adapters/kafka/bridge/bridge.c" "$ROOT/scripts/dev/build-bridge.sh" -newer "$STAMP/node")" ]
        ;;
    browser)
        # One that could not be had is looked for again when the scripts change, or this file is removed.
        [ -f "$TOOLCHAIN/browser" ] || return 1
        [ -z "$(find "$ROOT/scripts/dev" -name '*.sh' -newer "$TOOLCHAIN/browser")" ] || return 1
        . "$TOOLCHAIN/browser"
        [ -z "$BROWSER" ] || [ -x "$BROWSER" ]
        ;;
    collector)
        [ -f "$TOOLCHAIN/collector" ] || return 1
        [ -z "$(find "$ROOT/scripts/dev/collector" "$ROOT/scripts/dev/install.sh" -newer "$TOOLCHAIN/collector")" ] || return 1
        . "$TOOLCHAIN/collector"
        [ -x "$COLLECTOR" ]
        ;;
    stack)
        [ -f "$TOOLCHAIN/stack" ] || return 1
        [ -z "$(find "$ROOT/scripts/dev" \( -name '*.sh' -o -name pom.xml \) -newer "$TOOLCHAIN/stack")" ] || return 1
        . "$TOOLCHAIN/stack"
        if [ "$STACK_ENGINE" = containers ]; then
            container_engine_answers
        else
            [ "${DEV_STACK:-}" != containers ] && [ -x "$STACK_JAVA" ] && [ -d "$STACK_KAFKA_JARS" ] &&
                [ -d "$STACK_REGISTRY_HOME" ] && [ -x "$STACK_REDIS_SERVER" ] && [ -x "$STACK_PROMETHEUS" ]
        fi
        ;;
    esac
}

# A client alone is not an engine: it has to answer, and soon.
container_engine_answers() {
    [ "${DEV_STACK:-}" != native ] && command -v docker >/dev/null 2>&1 &&
        within 10 docker info >/dev/null 2>&1 && within 10 docker compose version >/dev/null 2>&1
}

within() {
    within_seconds=$1
    shift
    if command -v timeout >/dev/null 2>&1; then timeout "$within_seconds" "$@"; else "$@"; fi
}
