// The inline path calls wg_packet_create_data_done from its own file.
// Files: send.c
// Removes: static
@@
type t;
@@
-static
 t wg_packet_create_data_done(...) { ... }
