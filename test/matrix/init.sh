#!/bin/busybox sh
# The first process of a guest. What is to be run follows at the end of it. The kernel's console is the first serial
# line; what the steps print goes to the second; the results go to the disk called "out", as a bare tar.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mkdir -p /dev/pts /dev/shm
/bin/busybox mount -t devpts pts /dev/pts
/bin/busybox mount -t tmpfs shm /dev/shm
# Programs that are there already stay.
/bin/busybox --install -s /bin
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
export PATH=/bin HOME=/tmp TERM=dumb NO_COLOR=1 LC_ALL=C.UTF-8 URING_TEST_PATIENCE=10
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
stty raw -echo

# The block device with a serial number: their order is not the same on every kernel.
disk() {
  for device in /sys/block/nvme*; do
    if [ "$(tr -d ' ' < "$device/device/serial")" = "$1" ]; then echo "/dev/${device##*/}"; fi
  done
}

finish() {
  cd /out && tar -cf "$(disk out)" .
  sync
  echo "@@ end"
  poweroff -f
}

# Hands in what there is, if it takes too long.
watch() {
  sleep "$1"
  echo "@@ out of time"
  echo out-of-time 137 >> /out/status
  finish
}

# run NAME SECONDS COMMAND...
run() {
  name=$1 limit=$2
  shift 2
  echo "@@ start $name at $(cut -d' ' -f1 /proc/uptime)"
  RESULTS=/out/$name.xml timeout -s KILL "$limit" "$@"
  status=$?
  echo "$name $status" >> /out/status
  echo "@@ status $name $status"
}

prompt() {
  stty sane
  echo "The guest's shell. The project is in $PWD; \"exit\" ends it."
  setsid -c sh
}

ip link set lo up
for module in /modules/*.ko; do
  if [ -e "$module" ]; then insmod "$module" || echo "@@ cannot load $module"; fi
done
mkdir -p /scratch
if mount -t ext4 "$(disk scratch)" /scratch; then
  mkdir -p -m 1777 /scratch/tmp
  export TMPDIR=/scratch/tmp PATH=/bin:/scratch/programs
  # What the first file system holds is held in memory, which is the tests'.
  mkdir -p /scratch/programs
  if cp /bin/bun /scratch/programs/bun; then rm /bin/bun; fi
fi
URING_TEST_PI_DEVICE=$(disk protected)
URING_TEST_ZONED_DEVICE=$(disk zoned)
URING_TEST_NVME_DEVICE=$(disk blank)
export URING_TEST_PI_DEVICE URING_TEST_ZONED_DEVICE URING_TEST_NVME_DEVICE URING_TEST_OWN_SYSTEM=1
chmod 1777 /tmp
mkdir -p /out
uname -r > /out/release
# On a file system such as a machine has: the kernel's first one lacks things, reading without waiting among them.
if [ -d /scratch/tmp ] && cp -r /project /scratch/project; then
  rm -r /project
  cd /scratch/project || finish
else
  cd /project || finish
fi
