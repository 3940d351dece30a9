// Several CPUs may receive from one peer: its byte count must not lose any.
// Files: receive.c
// Adds: wgprof_bytes_add(&peer->rx_bytes, len)
@@
identifier peer, len;
@@
-peer->rx_bytes += len
+wgprof_bytes_add(&peer->rx_bytes, len)
