// Every device carries the variant's own state.
// Files: device.h
// Adds: struct wgprof_device wgprof
@@
@@
 struct wg_device {
 	...
+	struct wgprof_device wgprof;
 };
