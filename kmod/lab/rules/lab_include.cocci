// The dial's declarations reach every file through device.h.
// Files: device.h
// Adds: #include "wgprof_lab.h"
@@
@@
 #include <linux/ptr_ring.h>
+#include "wgprof_lab.h"
