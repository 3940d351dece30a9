// The worker that is woken for a packet on a shared ring.
// Files: queueing.h
// Adds: wgprof_steered_crypt_cpu(device_queue)
@@
identifier device_queue;
@@
 wg_queue_enqueue_per_device_and_peer(struct crypt_queue *device_queue, ...)
 {
 	<+...
-	wg_cpumask_next_online(&device_queue->last_cpu)
+	wgprof_steered_crypt_cpu(device_queue)
 	...+>
 }
