#!/bin/sh
# Process 1 of the lab's machine: prepares the place, then runs what the host asks for on the port `ctl`.
#
# A request is a line: NUMBER LIMIT_S SCRIPT (escaped for printf %b).  A reply is a line, NUMBER EXIT_CODE OUT_BYTES ERR_BYTES,
# followed by that many bytes of standard output and of standard error.  Requests run side by side.
# When the host goes away, so does the machine.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=linux
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
# What udev would make; bash needs it for <(...).
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mkdir -p /run/jobs /run/lock /payload
ip link set lo up
hostname wgprof-lab
# Measuring the probes' run time is a static key of the kernel.  An emulator may execute a stale int3 when code is patched
# under a running CPU (own_qemu.py), and the guest panics: never switch the key while packets flow, have it on from the start.
echo 1 >/proc/sys/kernel/bpf_stats_enabled
# Likewise the key that is switched when the random numbers are ready: before anything else runs.
modprobe virtio_rng
timeout 10 head -c 1 /dev/random >/dev/null
if ! [ -e /sys/class/virtio-ports ]; then modprobe virtio_console; fi

# tar stops at the end of the archive, whatever the size of the drive
[ -b /dev/vdb ] && tar -xf /dev/vdb -C /payload

mkdir -p /dev/virtio-ports
name_ports() {
	for port in /sys/class/virtio-ports/*; do
		read -r name <"$port/name" && ln -sf "/dev/${port##*/}" "/dev/virtio-ports/$name"
	done 2>/dev/null
}
tries=0
until [ -c /dev/virtio-ports/ctl ] || [ $tries -ge 100 ]; do
	name_ports
	[ -c /dev/virtio-ports/ctl ] || sleep 0.1
	tries=$((tries + 1))
done

run_job() {
	job=/run/jobs/$1
	timeout -k 2 "$2" sh -c "$(printf %b "$3")" >"$job.out" 2>"$job.err" </dev/null 3>&-
	code=$?
	{
		flock 9
		echo "$1 $code" $(stat -c %s "$job.out" "$job.err")
		cat "$job.out" "$job.err"
	} 9>/run/lock/ctl >&3
	rm -f "$job.out" "$job.err"
}

exec 3<>/dev/virtio-ports/ctl || exit 1
read -r uptime _ </proc/uptime
echo "ready $uptime $(uname -r)" >&3
while read -r number limit script <&3; do
	run_job "$number" "$limit" "$script" &
done
echo o >/proc/sysrq-trigger
sleep 60
