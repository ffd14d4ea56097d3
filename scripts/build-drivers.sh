#!/bin/bash
# Builds the programs of test/clients that are to be compiled, in the cache and nowhere else. What they need is installed by
# ci-debian.sh: Go takes its modules from its proxy, by go.sum; Rust's crates and Java's driver are Debian's packages.
# What is built already is left alone by Go and Cargo themselves.
set -euo pipefail
cd "$(dirname "$0")/../test/clients"
built=${CI_CACHE:-/var/cache/holdfast}/drivers
install -d "$built/java" "$built/rust"

(cd go && go build -buildvcs=false -o "$built/go-session" .)

cp -p -t "$built/rust" rust/Cargo.toml rust/session.rs
rm -f "$built/rust/Cargo.lock"
cargo build --quiet --offline --manifest-path "$built/rust/Cargo.toml" --target-dir "$built/rust/target" \
  --config 'source.crates-io.replace-with="debian"' \
  --config 'source.debian.directory="/usr/share/cargo/registry"'

javac -encoding UTF-8 -Xlint:-options -d "$built/java" -cp /usr/share/java/postgresql.jar java/*.java
