"""The simulator: WireGuard's data path as events, compiled.

Each CPU and each source of traffic has one time at which it acts next (`clock`); nothing else is ever
scheduled.  A CPU works in *steps*: a step has a length that is known when it starts and an effect when it
ends, and can be suspended by something of higher priority.  The files are the mechanisms: `clock`, `draws`,
`nic`, `crypt`, `napi`, `sending`, `sources`, and `cpus`, which chooses what a CPU does next.

Times are nanoseconds.  Everything is deterministic by seed: a packet's service times are functions of
(seed, tunnel, number of the packet, stage), whatever happens around it.
"""
