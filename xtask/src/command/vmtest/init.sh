#!/bin/busybox sh
# The first program of a test guest: see xtask/src/command/vmtest/guest.rs.
export PATH=/usr/sbin:/usr/bin:/applets HOME=/root
if [ ! -e /root/.moved ]; then
    # Off the initramfs and onto a tmpfs: container runtimes pivot_root, which an initramfs does not allow.
    /bin/busybox mkdir /new
    /bin/busybox mount -t tmpfs -o size=80% root /new
    for d in /*; do [ $d = /new ] || /bin/busybox cp -a $d /new/; done
    : >/new/root/.moved
    exec /bin/busybox switch_root /new /init
fi
/bin/busybox --install -s /applets
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for at in /tmp /dev/shm /run; do mount -t tmpfs tmpfs $at; done
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
[ ! -e /overlay.ko ] || insmod /overlay.ko
stty -F /dev/ttyS1 raw -echo
cd /
sh /start </dev/null >/dev/ttyS1 2>&1
echo "exit $?" >/dev/ttyS2
poweroff -f
