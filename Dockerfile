# The gateway alone: no embedded PostgreSQL, so HOLDFAST_UPSTREAM or a configuration file has to name a server.
FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts

# The web console is built apart, with tools that the gateway does without.
FROM node:24-slim AS console
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY vite.config.ts tsconfig.json ./
COPY scripts/build-console.mjs ./scripts/
COPY src/console ./src/console
RUN ["node", "scripts/build-console.mjs", "--required"]

FROM node:24-slim
# glibc otherwise keeps an arena of memory for each thread; docs/benchmarks.md has what two save.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=2 \
    HOLDFAST_LISTEN=0.0.0.0:6432 \
    HOLDFAST_ADMIN_LISTEN=0.0.0.0:8432
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY config ./config
COPY src ./src
COPY --from=console /app/dist ./dist
RUN install -d -o node -g node -m 0700 data
USER node
VOLUME /app/data
EXPOSE 6432 8432
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8432/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# SIGTERM drains the sessions and stops.
STOPSIGNAL SIGTERM
CMD ["node", "src/cli/main.ts", "serve"]
