#!/bin/sh
# Builds the packed bridge (src/adapters/kafka/bridge/bridge.c) into node_modules/.settlefleet: `build-bridge.sh NODE`. Takes a
# second, and nothing when it was built from the same source for the same Node and Kafka client. Without a C compiler it
# says so and exits with 1: settlefleet then uses the Kafka client's own API.
#
# BRIDGE_SANITIZE=1 builds one that looks for wrong use of memory, see docs/development.md.
set -eu

NODE=${1:-node}
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
source=$ROOT/src/adapters/kafka/bridge/bridge.c
client=$ROOT/node_modules/@confluentinc/kafka-javascript
built=$ROOT/node_modules/.settlefleet/kafka-bridge.node
node_home=$(dirname "$(dirname "$("$NODE" -p process.execPath)")")

flags='-std=gnu11 -O2 -g -Wall -Wextra -Wno-ignored-qualifiers -Wno-unused-function -shared -fPIC -fvisibility=hidden'
[ "${BRIDGE_SANITIZE:-}" != 1 ] || flags="$flags -fsanitize=address,undefined -fno-omit-frame-pointer"
# On macOS, Node's functions are found when the addon is loaded.
[ "$(uname -s)" != Darwin ] || flags="$flags -undefined dynamic_lookup"

wanted=$(
    cksum <"$source"
    "$NODE" -p 'process.version + process.arch'
    sed -n 's/^ *"version": *//p' "$client/package.json"
    cksum <"$0"
    printf '%s\n' "$flags"
)
if [ -f "$built" ] && [ "$(cat "$built.stamp" 2>/dev/null || :)" = "$wanted" ]; then exit 0; fi

compiler=$(command -v "${CC:-cc}" || :)
[ -n "$compiler" ] || { echo 'no C compiler (Debian: build-essential)' >&2; exit 1; }
header=$client/deps/librdkafka/src
[ -f "$header/rdkafka.h" ] || { echo "no rdkafka.h in $header" >&2; exit 1; }
[ -f "$node_home/include/node/node_api.h" ] || { echo "no headers of Node in $node_home/include/node" >&2; exit 1; }
mkdir -p "$(dirname "$built")"
# Under another name first: a process may have the old one loaded.
# shellcheck disable=SC2086
"$compiler" $flags -I"$node_home/include/node" -I"$header" "$source" -o "$built.$$" -lpthread -ldl
mv "$built.$$" "$built"
printf '%s\n' "$wanted" >"$built.stamp"
