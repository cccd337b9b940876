#!/usr/bin/env bash
# Fetches the arm64 machine that arm64.test.ts boots: Debian's kernel, libc and busybox for arm64 through this machine's
# own apt sources, and Bun's arm64 build from npm. Nothing is installed and no list of the system is touched; everything
# stays in one directory of the user's cache, about 150 MB. The emulator itself, qemu-system-aarch64, has to be there.
#
#   test/syscall/arm64.sh            fetch, if it is not there yet
#   test/syscall/arm64.sh --where    only print the directory
set -euo pipefail

bun=$(bun --version)
machine=${XDG_CACHE_HOME:-$HOME/.cache}/bun-uring/arm64-bun-$bun
if [ "${1:-}" = --where ]; then echo "$machine"; exit; fi
if [ -e "$machine" ]; then exit; fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/apt/{lists,cache/archives}/partial "$scratch"/{debs,files,bun,machine/lib}
: > "$scratch/apt/status"

apt_arm64() {
  local tool=$1
  shift
  "$tool" -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Acquire::Languages=none \
    -o Dir::State="$scratch/apt" -o Dir::State::status="$scratch/apt/status" -o Dir::Cache="$scratch/apt/cache" "$@"
}

# A source of the machine's that has nothing for arm64 is no loss; that the packages are missing would be.
apt_arm64 apt-get -q update > "$scratch/log" 2>&1 || true
kernel=$(apt_arm64 apt-cache depends linux-image-arm64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
if [ -z "$kernel" ]; then
  echo "This machine's apt sources have no kernel for arm64:" >&2
  tail -n 5 "$scratch/log" >&2
  exit 1
fi
(cd "$scratch/debs" && apt_arm64 apt-get -q download "$kernel" libc6 busybox-static > "$scratch/log" 2>&1) || {
  tail -n 5 "$scratch/log" >&2
  exit 1
}
for deb in "$scratch"/debs/*.deb; do dpkg-deb -x "$deb" "$scratch/files"; done

echo '{}' > "$scratch/bun/package.json"
(cd "$scratch/bun" && bun add --silent --no-save --ignore-scripts --os=linux --cpu=arm64 "@oven/bun-linux-aarch64@$bun")

cp "$scratch"/files/boot/vmlinuz-* "$scratch/machine/kernel"
cp "$(find "$scratch/files" -type f -path '*/bin/busybox')" "$scratch/machine/busybox"
cp "$scratch/bun/node_modules/@oven/bun-linux-aarch64/bin/bun" "$scratch/machine/bun"
for library in ld-linux-aarch64.so.1 libc.so.6 libpthread.so.0 libdl.so.2 libm.so.6; do
  # An older libc names the file by its version and links to it.
  cp -L "$(find "$scratch/files" -name "$library" -path '*aarch64-linux-gnu*' | head -n 1)" "$scratch/machine/lib/"
done
mkdir -p "$(dirname "$machine")"
mv -T "$scratch/machine" "$machine" 2> /dev/null || [ -e "$machine/kernel" ]
