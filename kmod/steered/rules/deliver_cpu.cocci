// The CPU that polls a peer's NAPI.
// Files: queueing.h
// Adds: wgprof_steered_deliver(peer)
@@
identifier peer;
@@
-napi_schedule(&peer->napi)
+wgprof_steered_deliver(peer)
