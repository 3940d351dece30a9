#!/bin/busybox sh
# First program of the lab's kernel, in the initial RAM disk: load the disk's drivers, mount it, go on there.
# The last lines before an exit are what the host shows when a machine does not boot.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
root=/dev/vda
for word in $($bb cat /proc/cmdline); do
	case $word in
	root=*) root=${word#root=} ;;
	wgprof_probe)
		echo "wgprof lab: this kernel runs"
		$bb poweroff -f
		;;
	esac
done
while read -r module; do
	$bb insmod "/modules/$module" || echo "wgprof lab: cannot load $module"
done </modules/order
tries=0
until [ -b "$root" ] || [ $tries -ge 50 ]; do
	$bb usleep 100000
	tries=$((tries + 1))
done
if ! $bb mount -t ext4 -o rw,noatime,nobarrier,noinit_itable "$root" /root; then
	echo "wgprof lab: cannot mount $root"
	exit 1
fi
$bb mount -t tmpfs run /root/run
$bb mkdir -p /root/run/wgprof
$bb cp /guest/init.sh /root/run/wgprof/init.sh
for place in proc sys dev; do $bb mount -o move /$place /root/$place; done
exec $bb switch_root /root /bin/sh /run/wgprof/init.sh
