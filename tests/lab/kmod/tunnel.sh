#!/bin/bash
# One tunnel between two network namespaces, and what the tests do with it.  Runs in the lab's machine.
#
#   tunnel.sh up | down
#   tunnel.sh order FLOWS COUNT RATE            numbered flows both ways at once
#   tunnel.sh switch FLOWS COUNT RATE           the same while both ends change their mode (inline)
#   tunnel.sh hotplug FLOWS COUNT RATE          the same while the chosen CPUs come and go (steered)
#   tunnel.sh netem FLOWS COUNT RATE WORDS...   the same over a link with netem; prints what netem dropped
#   tunnel.sh repeat TIMES                      load, traffic, unload again and again; prints what stays allocated
set -e
here=$(dirname "$0")
module=$here/wireguard.ko
flows="python3 $here/flows.py"
left() { ip netns exec left "$@"; }
right() { ip netns exec right "$@"; }

up() {
	local left_key right_key
	left_key=$(wg genkey) right_key=$(wg genkey)
	ip netns add left
	ip netns add right
	ip link add outer netns left type veth peer name outer netns right
	ip -n left addr add 10.0.0.1/24 dev outer
	ip -n right addr add 10.0.0.2/24 dev outer
	ip -n left link set outer up
	ip -n right link set outer up
	ip -n left link add wg0 type wireguard
	ip -n right link add wg0 type wireguard
	left wg set wg0 listen-port 51820 private-key <(echo "$left_key") \
		peer "$(wg pubkey <<<"$right_key")" endpoint 10.0.0.2:51820 allowed-ips 10.9.0.0/24
	right wg set wg0 listen-port 51820 private-key <(echo "$right_key") \
		peer "$(wg pubkey <<<"$left_key")" endpoint 10.0.0.1:51820 allowed-ips 10.9.0.0/24
	ip -n left addr add 10.9.0.1/24 dev wg0
	ip -n right addr add 10.9.0.2/24 dev wg0
	ip -n left link set wg0 up
	ip -n right link set wg0 up
	# Right after boot a handshake waits for the kernel's random numbers, and is repeated after 5 s.
	left ping -q -c 1 -w 20 10.9.0.2 >/dev/null
}

down() {
	ip -n left link del wg0
	ip -n right link del wg0
	ip netns del left
	ip netns del right
}

# $1: a function that disturbs until the file $stop exists; then FLOWS COUNT RATE
order() {
	local disturb=$1 stop pids
	shift
	stop=$(mktemp -u)
	left $flows recv 7000 3 >/tmp/left.json & pids=$!
	right $flows recv 7000 3 >/tmp/right.json & pids="$pids $!"
	sleep 1
	"$disturb" "$stop" & local disturber=$!
	left $flows send 10.9.0.2 7000 "$@" >/dev/null & local left_send=$!
	right $flows send 10.9.0.1 7000 "$@" >/dev/null & local right_send=$!
	wait $left_send $right_send
	touch "$stop"
	wait $disturber $pids
	rm -f "$stop"
	cat /tmp/left.json /tmp/right.json
}

nothing() { :; }

switch_modes() {
	local mode end
	while [ ! -e "$1" ]; do
		for mode in queued inline; do
			for end in left right; do
				$end sh -c "echo $mode > /sys/class/net/wg0/wgprof/mode"
			done
			sleep 0.1
		done
	done
}

plug_cpus() {
	local cpu
	while [ ! -e "$1" ]; do
		for cpu in 3 2; do echo 0 >/sys/devices/system/cpu/cpu$cpu/online; sleep 0.3; done
		for cpu in 2 3; do echo 1 >/sys/devices/system/cpu/cpu$cpu/online; sleep 0.3; done
	done
}

choose() {
	local end file
	for end in left right; do
		for file in encrypt_cpus decrypt_cpus transmit_cpus deliver_cpus; do
			$end sh -c "echo $1 > /sys/class/net/wg0/wgprof/$file"
		done
	done
}

netem() {
	local words=("${@:4}")
	left tc qdisc replace dev outer root netem limit 20000 "${words[@]}"
	right tc qdisc replace dev outer root netem limit 20000 "${words[@]}"
	order nothing "$1" "$2" "$3"
	left tc -s qdisc show dev outer | grep -o 'dropped [0-9]*'
	right tc -s qdisc show dev outer | grep -o 'dropped [0-9]*'
	left tc qdisc del dev outer root
	right tc qdisc del dev outer root
}

repeat() {
	local i mode
	for i in $(seq "$1"); do
		insmod "$module"
		up
		if [ -e /sys/module/wireguard/parameters/wgprof_mode ]; then
			for mode in queued inline queued inline; do
				left sh -c "echo $mode > /sys/class/net/wg0/wgprof/mode"
				left ping -q -c 5 -i 0.01 10.9.0.2 >/dev/null
			done
		fi
		down
		rmmod wireguard
		if [ "$i" = 5 ] || [ "$i" = "$1" ]; then
			echo 2 >/proc/sys/vm/drop_caches
			awk '/^(SUnreclaim|Percpu)/ {print $1, $2}' /proc/meminfo
		fi
	done
}

command=$1
shift
case $command in
	order) order nothing "$@" ;;
	switch) order switch_modes "$@" ;;
	hotplug) choose 2-3; order plug_cpus "$@"; choose any ;;
	*) "$command" "$@" ;;
esac
