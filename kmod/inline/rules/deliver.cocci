// A packet that was decrypted inline is delivered from this CPU's own NAPI.
// Files: receive.c
// Adds: wgprof_inline_deliver(peer, skb)
@@
identifier peer, skb;
@@
-napi_gro_receive(&peer->napi, skb)
+wgprof_inline_deliver(peer, skb)
