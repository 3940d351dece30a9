// Every ring carries the choice of the CPUs that are woken for it.
// Files: device.h
// Adds: struct wgprof_crypt wgprof
@@
@@
 struct crypt_queue {
 	...
+	struct wgprof_crypt wgprof;
 };
