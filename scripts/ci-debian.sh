#!/bin/bash
# Installs, on Debian 12 and as root, what `npm run test:debian` and `npm run test:regress` need beyond npm:
# PostgreSQL 15 with its clients, headers and source, PgBouncer, Prometheus, Ceph's S3 server, Chromium, zsh and fish, Python's
# drivers in a virtual environment, and those of Go, Java, Rust, Perl and Ruby.
# It may be run again at any time: what is there is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${CI_CACHE:-/var/cache/holdfast}
requirements=test/clients/requirements.txt
tools=(build-essential dpkg-dev patch pgbouncer prometheus python3-venv ceph-common ceph-mon ceph-osd radosgw chromium zsh fish)
# Java's driver, and Rust's with the crates that it needs, are packages too; Go's come as modules.
tools+=(libpostgresql-jdbc-java libdbd-pg-perl ruby ruby-pg)
tools+=(librust-tokio-postgres-dev librust-tokio+macros-dev librust-futures-util+sink-dev librust-bytes-dev)
# Compilers of another making do as well, where this machine has them.
command -v go > /dev/null || tools+=(golang-go)
command -v cargo > /dev/null || tools+=(cargo rustc)
command -v javac > /dev/null || tools+=(default-jdk-headless)

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

if [ "$(id -u)" != 0 ]; then
  echo "ci-debian.sh: run as root, for it installs Debian packages" >&2
  exit 1
fi

# Debian's package would start a server of its own at once.
install -d /etc/postgresql-common
if ! grep -qsx 'create_main_cluster = false' /etc/postgresql-common/createcluster.conf; then
  echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf
fi
# PgBouncer's and Prometheus's too, and a container without an init system cannot say so afterwards.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  made_policy=yes
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT

# The sources come from wherever this machine takes its packages.
lists=/etc/apt/sources.list.d
for file in /etc/apt/sources.list "$lists"/*.list "$lists"/*.sources; do
  name=$(basename "$file")
  case $file in
    */holdfast-source-*) ;;
    *.sources) if grep -qs '^URIs:.*/debian' "$file"; then
        sed 's/^Types:.*/Types: deb-src/' "$file" > "$lists/holdfast-source-$name"
      fi ;;
    *) if grep -qs '^deb .*/debian' "$file"; then
        sed -n '/\/debian/s/^deb /deb-src /p' "$file" > "$lists/holdfast-source-$name"
      fi ;;
  esac
done

echo "--- apt-get update"
"${apt[@]}" update
echo "--- apt-get install ${tools[*]}"
"${apt[@]}" install --no-install-recommends "${tools[@]}"

# The regression tests belong to one release, and are built against its headers. A mirror may have the newest
# release's packages without its source, so the newest release whose source can be had is what is installed.
postgres_source() {
  local version=$1 dir=$cache/postgresql-source/$1
  [ -e "$dir/done" ] && return
  rm -rf "$dir" && mkdir -p "$dir"
  (cd "$dir" && apt-get -q source "postgresql-15=$version" && mv postgresql-15-*/ tree && rm -f -- *.tar.* && touch 'done')
}
version=
while read -r candidate; do
  echo "--- apt-get source postgresql-15=$candidate"
  if postgres_source "$candidate"; then version=$candidate; break; fi
done < <(apt-cache showsrc postgresql-15 | sed -n 's/^Version: //p' | sort -rVu)
if [ -z "$version" ]; then
  echo "ci-debian.sh: no source of postgresql-15 to be had" >&2
  exit 1
fi
ln -sfn "$version" "$cache/postgresql-source/current"

exact=(postgresql-15 postgresql-client-15 postgresql-server-dev-15)
if [ "$(dpkg-query -W -f '${Version} ' "${exact[@]}" 2>/dev/null)" != "$version $version $version " ]; then
  echo "--- apt-get install ${exact[*]} at $version"
  "${apt[@]}" install --no-install-recommends --allow-downgrades "${exact[@]/%/=$version}"
fi
if [ -e "$requirements" ]; then
  venv=$cache/python
  if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    echo "--- python3 -m venv, with $requirements"
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/requirements.txt"
  fi
fi
echo "--- scripts/build-drivers.sh"
bash scripts/build-drivers.sh
