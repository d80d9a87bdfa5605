# The fleet in one image: `worker` by default, every other command of settlefleet as its arguments.

FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
# The Kafka client's addon is built here where its prebuilt one cannot be downloaded.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential ca-certificates python3 \
        libcurl4-openssl-dev liblz4-dev libsasl2-dev libssl-dev libzstd-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
# Without the embedded ClickHouse (an optional dependency of 540 MB): in production there is a server.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
    && CKJS_LINKING=dynamic npm_config_nodedir=/usr/local npm rebuild @confluentinc/kafka-javascript --foreground-scripts \
    && node -e "require('@confluentinc/kafka-javascript')"
# The packed bridge beside it; the image does not go without.
COPY scripts/dev/build-bridge.sh scripts/dev/build-bridge.sh
COPY src/adapters/kafka/bridge/bridge.c src/adapters/kafka/bridge/bridge.c
RUN sh scripts/dev/build-bridge.sh node \
    # Of the client, only the addon and the libraries beside it are needed when it runs.
    && cd node_modules/@confluentinc/kafka-javascript \
    && rm -rf deps build/Release/obj* build/Release/.deps \
    && find build -name '*.a' -delete \
    && node -e "require('@confluentinc/kafka-javascript')"

FROM node:24-bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tini \
        libcurl4 liblz4-1 libsasl2-2 libssl3 libzstd1 zlib1g \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY . .
# What the fleet keeps between two starts, e.g. the schemas that it has met.
RUN mkdir -p /var/lib/settlefleet && chown node:node /var/lib/settlefleet
# Memory, see docs/operations.md: V8 and glibc would take about half as much again. What this costs in CPU is in bench/RESULTS.md.
ENV NODE_ENV=production \
    NODE_OPTIONS=--max-semi-space-size=8 \
    MALLOC_ARENA_MAX=2 \
    SCHEMA_CACHE_DIR=/var/lib/settlefleet/schemas
USER node
EXPOSE 9464
# Signals go to the process itself, which drains on SIGTERM; tini reaps and forwards.
ENTRYPOINT ["tini", "--", "node", "/app/src/main.ts"]
CMD ["worker"]
