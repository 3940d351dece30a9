// The inline path calls wg_packet_consume_data_done from its own file.
// Files: receive.c
// Removes: static
@@
type t;
@@
-static
 t wg_packet_consume_data_done(...) { ... }
