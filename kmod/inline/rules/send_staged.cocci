// What was staged is sent by the one who asks, not by workers.
// Files: send.c
// Adds: wgprof_inline_send_staged(peer)
@@
identifier peer, packets;
@@
 wg_packet_send_staged_packets(struct wg_peer *peer)
 {
 	...
+	if (wgprof_inline_send_staged(peer))
+		return;
+
 	__skb_queue_head_init(&packets);
 	... when any
 }
