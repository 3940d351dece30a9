// While the mode changes, more packets may wait.
// Files: device.c
// Adds: wgprof_inline_staged_limit(peer)
@@
identifier peer;
@@
 skb_queue_len(&peer->staged_packet_queue) >
-MAX_STAGED_PACKETS
+wgprof_inline_staged_limit(peer)
