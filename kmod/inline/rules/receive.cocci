// A data packet is decrypted and delivered where it was received.
// Files: receive.c
// Adds: wgprof_inline_receive(peer, skb)
@@
identifier peer, wg, skb, ret;
@@
 wg_packet_consume_data(struct wg_device *wg, struct sk_buff *skb)
 {
 	... when any
+	if (likely(wgprof_inline_receive(peer, skb))) {
+		rcu_read_unlock_bh();
+		return;
+	}
+
 	ret = wg_queue_enqueue_per_device_and_peer(&wg->decrypt_queue, &peer->rx_queue, skb, ...);
 	... when any
 }
