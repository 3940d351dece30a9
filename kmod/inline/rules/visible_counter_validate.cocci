// The inline path calls counter_validate from its own file.
// Files: receive.c
// Removes: static
@@
type t;
@@
-static
 t counter_validate(...) { ... }
