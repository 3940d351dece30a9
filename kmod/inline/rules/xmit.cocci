// wg_xmit encrypts and sends itself; what it cannot send now is staged as ever.
// Files: device.c
// Adds: wgprof_inline_xmit(peer, &packets)
@@
identifier peer, packets;
@@
 wg_xmit(...)
 {
 	... when any
+	if (likely(wgprof_inline_xmit(peer, &packets))) {
+		wg_peer_put(peer);
+		return NETDEV_TX_OK;
+	}
+
 	spin_lock_bh(&peer->staged_packet_queue.lock);
 	... when any
 	skb_queue_splice_tail(&packets, &peer->staged_packet_queue);
 	... when any
 }
