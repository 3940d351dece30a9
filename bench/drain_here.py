"""One run of the drain benchmark, under the system's Python for bcc and as root; prints what it saw as JSON.

drain_here.py ROOT REQUEST

The producer is a process of its own on a CPU of its own.  Each of its system calls runs the probes' own
`emit` (probes/state.h) `per_call` times on the raw tracepoint sys_enter; nobody else's calls do.
"""

import json
import os
import select
import signal
import sys
import time

root, request = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)

from wgprof.agent.drain import Drain
from wgprof.agent.instructions import MEMORY, complete, memory_flags
from wgprof.agent.kernel import possible_cpus, read_text
from wgprof.agent.layout import EVENT_STRIDE
from wgprof.agent.loader import RING_BYTES, RING_PAGES, code_of, joined, map_fd
from wgprof.agent.maps import Ring, States
from wgprof.agent.stream import Stream

PROBES = os.path.join(root, "probes")
#: A journey of one peer; its nonce is the number of the event, so that the file shows what is missing.
PRODUCER = """
BPF_ARRAY(bench_number, u64, 1);
int producer(void *ctx)
{
	u32 zero = 0, cpu = bpf_get_smp_processor_id();
	u64 *number = bench_number.lookup(&zero);
	struct cpu_state *state = this_state(cpu);

	if (bpf_get_current_pid_tgid() >> 32 != PRODUCER_PID || !number || !state)
		return 0;
#pragma unroll
	for (int i = 0; i < PER_CALL; i++) {
		struct step step = {};

		step.end = now_ns();
		step.nonce = (*number)++;
		step.service = 1000;
		step.key = 1;
		step.slot = 2;
		step.point = POINT_ENCRYPT;
		emit(state, cpu, &step);
	}
	return 0;
}
"""


def compile_producer(pid):
    """The probes' own maps and `emit`, and a program that uses them, attached."""
    os.environ["BCC_KERNEL_SOURCE"] = PROBES
    from bcc import BPF

    seen = set()
    text = "".join(joined(PROBES, name, seen) for name in ("access.h", "state.h"))
    flags = [f"-I{PROBES}", f"-DRING_PAGES={RING_PAGES}", "-DSLOTS=1", f"-DCPUS={possible_cpus()}"]
    flags += [f"-DPRODUCER_PID={pid}", f"-DPER_CALL={request['per_call']}", *memory_flags()]
    bpf = BPF(text=(text + PRODUCER).encode(), cflags=flags)
    maps = {MEMORY[name]: map_fd(bpf, name) for name in ("control", "states", "objects")}
    complete(code_of(bpf, b"producer"), 0, maps)
    bpf.load_func(b"producer", BPF.RAW_TRACEPOINT)
    bpf.attach_raw_tracepoint(tp=b"sys_enter", fn_name=b"producer")
    return bpf


def produce(start, cpu):
    """Make the system calls, on one CPU; at an even rate if one is asked for."""
    os.sched_setaffinity(0, {cpu})
    os.read(start, 1)  # until the drain is ready
    calls, per_s = request["events"] // request["per_call"], request["rate"] / request["per_call"]
    call, now = os.getppid, time.monotonic
    began, batch = now(), 50
    for done in range(0, calls, batch):
        while per_s and done > (now() - began) * per_s:
            pass  # a sleep would be a system call
        for _ in range(min(batch, calls - done)):
            call()


def drain_with_wgprof(bpf, out, over):
    """The agent's own loop between two ticks.  Yields when it is ready, then how many events it wrote."""
    stream = Stream(out, compress=False)
    drain = Drain(Ring(map_fd(bpf, "events"), RING_BYTES), stream)
    yield
    while not over():
        select.select([], [], [], drain.nap_s(sample_every=1))
        drain.look()
    drain.empty()
    yield stream.event_bytes // EVENT_STRIDE


def drain_with_callback(bpf, out, over):
    """What bcc's documentation shows: a Python function called for each event, here the cheapest that keeps it."""
    import ctypes

    count = 0

    def on_event(_context, data, size):
        nonlocal count
        count += 1
        file.write(ctypes.string_at(data, size))

    with os.fdopen(os.dup(out), "wb", buffering=1 << 20) as file:
        bpf["events"].open_ring_buffer(on_event)
        yield
        while not over():
            bpf.ring_buffer_consume()
        bpf.ring_buffer_consume()
    yield count


def waited_s():
    """Seconds this process was runnable and had no CPU."""
    return int(read_text("/proc/self/schedstat").split()[1]) / 1e9


class Producer:
    """The producing process; it waits for `go`."""

    def __init__(self, cpu):
        start, self._go = os.pipe()
        self.ended = 0.0
        self.pid = os.fork()
        if self.pid == 0:
            produce(start, cpu)
            os._exit(0)

    def go(self):
        os.write(self._go, b"g")

    def over(self):
        if not self.ended and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.ended = time.monotonic()
        return self.ended > 0

    def end(self):
        if not self.over():
            os.kill(self.pid, signal.SIGKILL)


def run(producer, drain_cpu):
    """Start the drain, then the producer; what became of the events."""
    bpf = compile_producer(producer.pid)
    from bcc.libbcc import lib

    state_bytes = lib.bpf_table_leaf_size(bpf.module, b"states")
    states = States(map_fd(bpf, "states"), state_bytes, possible_cpus())
    out = os.open(request["path"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.sched_setaffinity(0, {drain_cpu})
    drain = HOW[request["how"]](bpf, out, producer.over)
    next(drain)
    began, waited, used = time.monotonic(), waited_s(), time.process_time()
    producer.go()
    written = next(drain)
    return {
        "produced": bpf["bench_number"][0].value,
        "lost": states.losses()["ring-full journeys"],
        "written": written,
        "producer_s": producer.ended - began,
        "cpu_s": time.process_time() - used,
        "waited_s": waited_s() - waited,
    }


HOW = {"wgprof": drain_with_wgprof, "callback": drain_with_callback}
# One core each, whoever else uses this machine: what is measured is the drain, not the neighbours.
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
producer = Producer(request["cpus"][0])
try:
    print(json.dumps(run(producer, request["cpus"][1])))
finally:
    producer.end()
