#!/bin/bash
# One tunnel between two network namespaces, and what the tests do with it.  Runs in the lab's machine.
#
#   tunnel.sh up | down
#   tunnel.sh choose CPUS FILE...               steered's choices, at both ends
#   tunnel.sh order FLOWS COUNT RATE            numbered flows both ways at once
#   tunnel.sh switch FLOWS COUNT RATE           the same while both ends change their mode (inline)
#   tunnel.sh hotplug FLOWS COUNT RATE          the same while the chosen CPUs come and go (steered)
#   tunnel.sh netem FLOWS COUNT RATE WORDS...   the same over a link with netem, watched by witness.py
#   tunnel.sh repeat VARIANT TIMES FIRST        load, traffic, switch, unload, TIMES times; says what stays allocated
#                                               after round FIRST and the last
set -e
here=$(dirname "$0")
lists=(encrypt_cpus decrypt_cpus transmit_cpus deliver_cpus)
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
	# As a NIC does with one flow: all that arrives at one end arrives on one CPU, so there is one order of arrival.
	left sh -c 'echo 1 > /sys/class/net/outer/queues/rx-0/rps_cpus'
	right sh -c 'echo 2 > /sys/class/net/outer/queues/rx-0/rps_cpus'
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

wait_for() { until "$@" 2>/dev/null | grep -q .; do sleep 0.05; done; }

# $1: a function that disturbs until the file $stop exists; then FLOWS COUNT RATE.  Prints two lines of JSON, left's first.
order() {
	local disturb=$1 stop receivers disturber end
	shift
	stop=$(mktemp -u)
	receivers=
	for end in left right; do
		$end $flows recv 7000 3 /tmp/$end.order >/tmp/$end.json &
		receivers="$receivers $!"
		wait_for $end ss -Huln 'sport = 7000'
	done
	"$disturb" "$stop" >&2 &
	disturber=$!
	left $flows send 10.9.0.2 7000 "$@" >/dev/null &
	local left_send=$!
	right $flows send 10.9.0.1 7000 "$@" >/dev/null &
	local right_send=$!
	wait $left_send $right_send
	touch "$stop"
	wait $disturber $receivers
	rm -f "$stop"
	cat /tmp/left.json /tmp/right.json
}

nothing() { :; }

set_mode() { "$1" sh -c "echo $2 > /sys/class/net/wg0/wgprof/mode"; }

switch_modes() {
	local mode end switches=0
	while [ ! -e "$1" ]; do
		for mode in queued inline; do
			for end in left right; do
				set_mode $end $mode
				switches=$((switches + 1))
			done
			sleep 0.1
		done
	done
	echo $switches >/tmp/disturbances
}

plug_cpus() {
	local cpu plugs=0
	while [ ! -e "$1" ]; do
		for cpu in 3 2; do echo 0 >/sys/devices/system/cpu/cpu$cpu/online; sleep 0.3; done
		for cpu in 2 3; do echo 1 >/sys/devices/system/cpu/cpu$cpu/online; sleep 0.3; done
		plugs=$((plugs + 4))
	done
	echo $plugs >/tmp/disturbances
}

# CPUS FILE..
choose() {
	local end file
	for file in "${@:2}"; do
		for end in left right; do
			$end sh -c "echo $1 > /sys/class/net/wg0/wgprof/$file"
		done
	done
}

# tcpdump sees what arrives from the link behind netem, in its order, before WireGuard does.
netem() {
	local words=("${@:4}") end watchers=
	for end in left right; do
		$end tc qdisc replace dev outer root netem limit 20000 "${words[@]}"
		$end tcpdump -Z root -i outer -Q in -s 80 -B 65536 -w /tmp/$end.pcap 'udp dst port 51820' 2>/tmp/$end.watch &
		watchers="$watchers $!"
	done
	for end in left right; do wait_for grep 'listening on' /tmp/$end.watch; done
	order nothing "$1" "$2" "$3" >&2
	# The receivers' silence outlasts the time a capture keeps packets in its buffer.
	pkill -INT tcpdump
	wait $watchers || true
	seen left right "$1" "$2"
	seen right left "$1" "$2"
	left tc qdisc del dev outer root
	right tc qdisc del dev outer root
}

# END OTHER_END FLOWS COUNT: what arrived at END passed netem at the other one.
seen() {
	local dropped missed
	dropped=$($2 tc -s qdisc show dev outer | grep -o 'dropped [0-9]*' | cut -d' ' -f2)
	missed=$(grep -o '[0-9]* packets dropped by kernel' "/tmp/$1.watch" | cut -d' ' -f1)
	python3 "$here/witness.py" /tmp "$1" "$4" "$3" "$dropped" "$missed"
}

# Live objects that were allocated below WireGuard's code, by cache (slub_debug=U), and what the whole machine holds.
# Code of a module that was unloaded has no name any more, and WireGuard is the only one that is unloaded here.
allocated() {
	local cache
	echo 2 >/proc/sys/vm/drop_caches
	for cache in /sys/kernel/debug/slab/*; do
		awk -v round="$1" -v cache="${cache##*/}" '
			/^ *[0-9]+ / { objects = $1 }
			/\[wireguard\]|0xffffffff/ { sum += objects; objects = 0 }
			END { if (sum) print "traces", round, cache, sum }' "$cache/alloc_traces"
	done
	awk -v round="$1" '/^(SUnreclaim|Percpu)/ {print $1, round, $2}' /proc/meminfo
	awk -v round="$1" 'NR > 2 {print "slab", round, $1, $2}' /proc/slabinfo
}

# Modes are written even while the devices go, which must be refused or done, and nothing else.
repeat() {
	local i mode stop writer
	for i in $(seq "$2"); do
		insmod "$here/$1.ko"
		up
		stop=$(mktemp -u)
		if [ -e /sys/module/wireguard/parameters/wgprof_mode ]; then
			for mode in queued inline queued inline; do
				set_mode left $mode
				left ping -q -c 20 -f 10.9.0.2 >/dev/null
			done
			(while [ ! -e "$stop" ]; do set_mode left queued; set_mode left inline; done 2>/dev/null) &
			writer=$!
		else
			left ping -q -c 80 -f 10.9.0.2 >/dev/null
			writer=
		fi
		down
		touch "$stop"
		wait $writer || true
		rm -f "$stop"
		[ "$(cat /sys/module/wireguard/refcnt)" = 0 ]
		if [ "$i" = "$3" ] || [ "$i" = "$2" ]; then allocated "$i"; fi
		rmmod wireguard
	done
}

command=$1
shift
case $command in
	order) order nothing "$@" ;;
	switch) order switch_modes "$@" ;;
	hotplug) choose 2-3 "${lists[@]}"; order plug_cpus "$@" ;;
	*) "$command" "$@" ;;
esac
