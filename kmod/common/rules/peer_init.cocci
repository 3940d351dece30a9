// The variant's state of a peer is set up before packets can meet the peer.
// Files: peer.c
// Adds: wgprof_peer_init(peer)
@@
identifier peer;
@@
 wg_prev_queue_init(&peer->rx_queue);
+wgprof_peer_init(peer);
