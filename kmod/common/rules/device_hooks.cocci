// The variant sets up and tears down its state with the device.
// Files: device.c
// Adds: .ndo_init = wgprof_device_init
// Adds: .ndo_uninit = wgprof_device_uninit
@@
identifier ops;
@@
 struct net_device_ops ops = {
+	.ndo_init = wgprof_device_init,
+	.ndo_uninit = wgprof_device_uninit,
 	.ndo_start_xmit = wg_xmit,
 };
