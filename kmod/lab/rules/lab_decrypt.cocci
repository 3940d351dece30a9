// Work of a set cost in the place of the cipher.
// Files: receive.c
// Adds: wgprof_lab_cipher()
// Removes: chacha20poly1305_decrypt_sg_inplace
@@
@@
-chacha20poly1305_decrypt_sg_inplace(...)
+wgprof_lab_cipher()
