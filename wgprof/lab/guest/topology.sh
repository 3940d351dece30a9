#!/bin/sh
# Tunnels between two network namespaces: topology.sh TUNNELS THREADED [MTU]
#
# wga and wgb are joined by a veth pair, the outer link.  Tunnel N is wgN on both sides: 10.N.0.1 in wga,
# 10.N.0.2 in wgb, UDP port 51820+N.  Ends when every tunnel has shaken hands and carried a ping.
set -e
tunnels=$1 threaded=$2 mtu=${3:-1420}
umask 077
modprobe -a wireguard veth
ip netns add wga
ip netns add wgb
ip link add veth0 netns wga type veth peer name veth0 netns wgb

number=0
commands_a="address add 192.0.2.1/24 dev veth0
link set lo up
link set veth0 up"
commands_b="address add 192.0.2.2/24 dev veth0
link set lo up
link set veth0 up"
while [ "$number" -lt "$tunnels" ]; do
	commands_a="$commands_a
link add wg$number mtu $mtu type wireguard
address add 10.$number.0.1/24 dev wg$number"
	commands_b="$commands_b
link add wg$number mtu $mtu type wireguard
address add 10.$number.0.2/24 dev wg$number"
	number=$((number + 1))
done
echo "$commands_a" | ip -n wga -batch -
echo "$commands_b" | ip -n wgb -batch -

configuration() { # private key, the peer's public key, its outer address, its inner address, tunnel
	echo "[Interface]
PrivateKey = $1
ListenPort = $((51820 + $5))
[Peer]
PublicKey = $2
Endpoint = $3:$((51820 + $5))
AllowedIPs = $4/32"
}

number=0
while [ "$number" -lt "$tunnels" ]; do
	key_a=$(wg genkey) key_b=$(wg genkey)
	public_a=$(echo "$key_a" | wg pubkey) public_b=$(echo "$key_b" | wg pubkey)
	configuration "$key_a" "$public_b" 192.0.2.2 "10.$number.0.2" "$number" >/run/wga.conf
	configuration "$key_b" "$public_a" 192.0.2.1 "10.$number.0.1" "$number" >/run/wgb.conf
	for side in wga wgb; do
		ip netns exec $side sh -c "wg setconf wg$number /run/$side.conf
			if [ $threaded = 1 ]; then echo 1 >/sys/class/net/wg$number/threaded; fi
			ip link set wg$number up"
	done
	number=$((number + 1))
done
rm -f /run/wga.conf /run/wgb.conf

number=0
while [ "$number" -lt "$tunnels" ]; do
	ip netns exec wga ping -q -c 1 -W 10 "10.$number.0.2" >/dev/null || {
		echo "tunnel wg$number carries no ping" >&2
		exit 1
	}
	number=$((number + 1))
done
