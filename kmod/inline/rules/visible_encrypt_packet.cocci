// The inline path calls encrypt_packet from its own file.
// Files: send.c
// Removes: static
@@
type t;
@@
-static
 t encrypt_packet(...) { ... }
