#!/bin/sh
# The senders of a workload: send.sh TUNNELS SECONDS IPERF3_OPTION..  Ends when all tests have ended.
tunnels=$1 seconds=$2
shift 2
number=0
while [ "$number" -lt "$tunnels" ]; do
	ip netns exec wga iperf3 --client "10.$number.0.2" --json --time "$seconds" "$@" >"/run/sender$number.json" 2>&1 &
	number=$((number + 1))
done
wait
