#!/bin/sh
# Looks for wrong use of memory in the packed bridge: builds it with AddressSanitizer and UndefinedBehaviorSanitizer, runs its
# contract suite over it on a stack of its own, and builds the usual one again whatever comes. Memory that is never given back
# is not looked for here: Node itself keeps some until it ends. Needs gcc's libasan.
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$ROOT/scripts/dev/common.sh"
bring dependencies stack
cd "$ROOT"
trap 'sh scripts/dev/build-bridge.sh "$NODE"' EXIT
BRIDGE_SANITIZE=1 sh scripts/dev/build-bridge.sh "$NODE"
# The sanitizer must be loaded before Node; the stack's own parts go without. A test process that the sanitizer ends is told as failed.
"$NODE" scripts/dev/stack/main.ts run sanitize -- env \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    "$NODE" node_modules/vitest/vitest.mjs run test/contract/packed-client.test.ts
