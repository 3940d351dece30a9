// Several CPUs may send to one peer: its byte count must not lose any.
// Files: socket.c
// Adds: wgprof_bytes_add(&peer->tx_bytes, skb_len)
@@
identifier peer, skb_len;
@@
-peer->tx_bytes += skb_len
+wgprof_bytes_add(&peer->tx_bytes, skb_len)
