// The module refuses to load outside the lab, before it does anything else.
// Files: main.c
// Adds: wgprof_lab_init()
@@
identifier ret;
expression first;
@@
 wg_mod_init(...)
 {
 	int ret;
+	ret = wgprof_lab_init();
+	if (ret < 0)
+		return ret;
 	ret = first;
 	... when any
 }
