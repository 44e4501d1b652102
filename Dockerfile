# Weft without a database of its own: it wants WEFT_DATABASE_URL (PostgreSQL 15 or newer), and in several processes
# WEFT_REDIS_URL. Every role is in it; WEFT_ROLES says which one a container has. See docs/deployment.md.

FROM node:24-bookworm-slim AS packages
WORKDIR /weft
COPY package.json package-lock.json .npmrc ./
COPY engine/package.json engine/
COPY server/package.json server/
# Not `npm ci`: it refuses a lock file that lacks the optional packages of other systems, as npm itself writes them.
# The versions and their checksums are those of the lock file all the same. The optional packages are the PostgreSQL
# that Weft brings along elsewhere.
RUN npm install --no-save --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    WEFT_HOST=0.0.0.0 \
    WEFT_PORT=7400 \
    WEFT_OPS_PORT=7401 \
    WEFT_DATA_DIR=/data
WORKDIR /weft
COPY --from=packages /weft/node_modules node_modules
COPY package.json LICENSE ./
COPY engine/package.json engine/
COPY engine/src engine/src
COPY server/package.json server/
COPY server/src server/src
# Nothing is written but to /data (keys that were not given) and to the system's folder for temporary files.
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 7400 7401
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.WEFT_OPS_PORT + '/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "server/src/cli/main.ts"]
CMD ["serve"]
