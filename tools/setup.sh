#!/usr/bin/env bash
# Installs the Debian 12 packages that damask needs and that are missing. Does nothing, fast, when all are there.
#   tools/setup.sh        what the program and its tests are built with
#   tools/setup.sh dev    also what formats, lints and fuzzes the sources
#   tools/setup.sh clients   also what the tests with clients of the server need: a browser, and Node.js where there is none
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev
  libsentencepiece-dev libeigen3-dev libpcre2-dev libhwy-dev libdnnl-dev libpng-dev libxxhash-dev libboost1.81-dev
  libgtest-dev
)
dev_packages=(git ccache clang-16 clang-format-16 clang-tidy-16 libclang-rt-16-dev)

clients_packages=(chromium)
command -v npm >/dev/null || clients_packages+=(nodejs npm)

case "${1:-}" in
  "") ;;
  dev) packages+=("${dev_packages[@]}") ;;
  clients) packages+=("${clients_packages[@]}") ;;
  *)
    echo "usage: tools/setup.sh [dev | clients]" >&2
    exit 2
    ;;
esac

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

if ! command -v dpkg-query >/dev/null; then
  echo "tools/setup.sh: this is not a Debian system; install the equivalents of: ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "tools/setup.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  fi
  # Asks for the password only where somebody can type it.
  if [ -t 0 ]; then as_root=(sudo); else as_root=(sudo -n); fi
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null; }
install() { apt install -y --no-install-recommends "${missing[@]}" >/dev/null; }

echo "Installing: ${missing[*]}"
# The package lists may be absent (a fresh machine) or older than the mirror's files: only then are they fetched.
compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt update
install || { apt update && install; }
