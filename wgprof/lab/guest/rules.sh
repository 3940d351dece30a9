#!/bin/sh
# Work for a stage: rules.sh PLACE COUNT.  Every data packet at PLACE is compared with COUNT netfilter rules, none of
# which matches.  outer-egress runs inside wga's transmit work, inner-ingress inside wgb's NAPI, outer-ingress
# in wgb's receive softirq before WireGuard, inner-egress in the sender's own thread before WireGuard, other-ingress in
# the receive softirq of a link (other0) that has nothing to do with WireGuard.
set -e
place=$1 count=$2
case $place in
outer-egress) side=wga hook=output match='oifname "veth0" udp length > 200' ;;
inner-egress) side=wga hook=output match='oifname "wg*" ip length > 200' ;;
outer-ingress) side=wgb hook=prerouting match='iifname "veth0" udp length > 200' ;;
inner-ingress) side=wgb hook=prerouting match='iifname "wg*" ip length > 200' ;;
other-ingress) side=wgb hook=prerouting match='iifname "other0" udp length > 200' ;;
*)
	echo "there is no place $place" >&2
	exit 1
	;;
esac
{
	echo "table ip work {"
	echo "chain compare {"
	number=0
	while [ "$number" -lt "$count" ]; do
		echo "ip saddr 198.18.$((number / 250)).$((number % 250)) drop"
		number=$((number + 1))
	done
	echo "}"
	echo "chain place { type filter hook $hook priority 0; $match jump compare; }"
	echo "}"
} | ip netns exec $side nft -f -
