#!/bin/bash
# What a newcomer does first: starts the gateway with its sample, and stops it. What that leaves in data/ stays, so that the
# tests are run beside it, as theirs are.
set -euo pipefail
# Ctrl-C reaches all that a job has started, where each job has a group of its own.
set -m
log=$(mktemp)
trap 'rm -f "$log"' EXIT

fail() {
  echo "$1"
  # Without the token, which is of this folder alone.
  grep -v hf_ "$log"
  exit 1
}

HOLDFAST_LISTEN=127.0.0.1:0 HOLDFAST_ADMIN_LISTEN=127.0.0.1:0 npm start > "$log" 2>&1 &
for _ in $(seq 60); do
  grep -q '"the gateway is ready"' "$log" && break
  kill -0 $! 2> /dev/null || fail 'npm start has ended'
  sleep 1
done
grep -q '"the gateway is ready"' "$log" || { kill -- -$!; fail 'npm start was not ready after a minute'; }
kill -INT -- -$!
for _ in $(seq 30); do
  grep -q '"stopped"' "$log" && break
  sleep 1
done
grep -q '"stopped"' "$log" || fail 'npm start did not stop'
grep '^Holdfast is ready' "$log"
