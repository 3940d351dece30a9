// The CPU that runs a peer's transmit work.
// Files: queueing.h
// Adds: wgprof_steered_transmit_cpu(peer)
@@
identifier peer;
@@
-wg_cpumask_choose_online(&peer->serial_work_cpu, peer->internal_id)
+wgprof_steered_transmit_cpu(peer)
