#!/bin/busybox sh
# First program of the lab's kernel, in the initial RAM disk: load the disk's drivers, mount it, go on there.
# The last lines before an exit are what the host shows when a machine does not boot.
bb=/bin/busybox
$bb mkdir -p /disk
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
if ! $bb mount -t ext4 -o rw,noatime,nobarrier,noinit_itable "$root" /disk; then
	# As a message of the kernel, which is on the console before the panic that the exit is.
	echo "<2>wgprof lab: cannot mount $root" >/dev/kmsg
	exit 1
fi
$bb mount -t tmpfs run /disk/run
$bb mkdir -p /disk/run/wgprof
$bb cp /guest/init.sh /disk/run/wgprof/init.sh
for place in proc sys dev; do $bb mount -o move /$place /disk/$place; done
exec $bb switch_root /disk /bin/sh /run/wgprof/init.sh
