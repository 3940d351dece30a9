#!/bin/sh
# The receivers of a workload: listen.sh TUNNELS.  One iperf3 server per tunnel, for one test; prints nothing.
number=0
while [ "$number" -lt "$1" ]; do
	ip netns exec wgb iperf3 --server --one-off --json --bind "10.$number.0.2" >"/run/receiver$number.json" 2>&1 &
	number=$((number + 1))
done
wait
