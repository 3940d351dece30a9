// Every peer carries the variant's own state.
// Files: peer.h
// Adds: struct wgprof_peer wgprof
@@
@@
 struct wg_peer {
 	...
+	struct wgprof_peer wgprof;
 };
