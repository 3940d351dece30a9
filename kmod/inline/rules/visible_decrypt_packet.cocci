// The inline path calls decrypt_packet from its own file.
// Files: receive.c
// Removes: static
@@
type t;
@@
-static
 t decrypt_packet(...) { ... }
