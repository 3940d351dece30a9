"""A lab machine as a user's gateway: wgprof installed from its wheel, and a tunnel of its own.

wg0 is in the machine's own network namespace, with one peer; the peer's wg0 is in the namespace
`far`.  10.9.0.1 and 10.9.0.2 are the ends inside the tunnel.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab.channel import CommandResult, Job
from wgprof.lab.image import LabImage
from wgprof.lab.lock import Notify
from wgprof.lab.machine import Machine
from wgprof.lab.qemu import MachineSettings

WGPROF = "/opt/wgprof/bin/wgprof"
FAR = "10.9.0.2"
#: What only the agent itself is called: neither sudo nor the shell that starts it.
AGENT = "^/usr/bin/python3 -I [^ ]*agent.pyz record"
_FOLDER = "/srv/run"

#: The virtual environment is the guest's own; pip runs out of its wheel, as Debian splits python3-venv off.
INSTALL = """
set -e
python3 -m venv --without-pip /opt/wgprof
pip=$(echo /payload/wheels/pip-*.whl)
/opt/wgprof/bin/python $pip/pip install -q --no-index --no-cache-dir --no-compile \
    --disable-pip-version-check --find-links /payload/wheels wgprof
mkdir -p /srv/run
useradd --create-home --shell /bin/sh helper
useradd --create-home --shell /bin/sh typist
useradd --create-home --shell /bin/sh nobodys
echo typist:secret | chpasswd
echo 'helper ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/tests
echo 'typist ALL=(ALL) ALL' >>/etc/sudoers.d/tests
chmod 440 /etc/sudoers.d/tests
"""

TOPOLOGY = """
set -e
umask 077
ip link del wg0 2>/dev/null || true
ip link del wg9 2>/dev/null || true
ip link del veth0 2>/dev/null || true
ip netns pids far 2>/dev/null | xargs -r kill -9
ip netns del far 2>/dev/null || true
modprobe -a wireguard veth
ip netns add far
ip link add veth0 type veth peer name veth0 netns far
ip address add 192.0.2.1/24 dev veth0
ip -n far address add 192.0.2.2/24 dev veth0
ip -n far link set lo up
ip link set veth0 up
ip -n far link set veth0 up
here=$(wg genkey) there=$(wg genkey)
setup() { # ip's option, private key, peer's private key, peer's outer address, own and peer's inner address
	ip $1 link add wg0 type wireguard
	ip $1 address add $5/24 dev wg0
	echo "[Interface]
PrivateKey = $2
ListenPort = 51820
[Peer]
PublicKey = $(echo $3 | wg pubkey)
Endpoint = $4:51820
AllowedIPs = $6/32" >/run/wg.conf
	if [ -n "$1" ]; then ip netns exec far wg setconf wg0 /run/wg.conf; else wg setconf wg0 /run/wg.conf; fi
	ip $1 link set wg0 up
}
setup "" $here $there 192.0.2.2 10.9.0.1 10.9.0.2
setup "-n far" $there $here 192.0.2.1 10.9.0.2 10.9.0.1
rm /run/wg.conf
ping -q -c 1 -W 10 10.9.0.2 >/dev/null
"""


@dataclass
class Running:
    """A `wgprof record` that runs in the guest."""

    gateway: Gateway
    name: str
    job: Job

    def wait_for(self, words: str, timeout: float = 120) -> None:
        """Until it has said `words` on its standard error.  Raises AssertionError if it ends without."""
        script = f"""
            until grep -q {shlex.quote(words)} {self.path("err")}; do
                [ -e {self.path("code")} ] && exit 1
                sleep 0.1
            done"""
        result = self.gateway.machine.run(script, timeout)
        assert result.exit_code == 0, f"it never said {words!r}: {self.stderr()}"

    def signal(self, name: str) -> None:
        self.gateway.machine.check(f"kill -{name} $(cat {self.path('pid')})")

    def wait(self, timeout: float = 180) -> CommandResult:
        """How it ended, with what it printed."""
        result = self.gateway.machine.wait(self.job, timeout)
        code = int(self.gateway.machine.check(f"cat {self.path('code')}"))
        return CommandResult(self._text("out"), self.stderr(), code, result.seconds)

    def stderr(self) -> str:
        return self._text("err")

    def path(self, kind: str) -> str:
        return f"{_FOLDER}/{self.name}.{kind}"

    def _text(self, kind: str) -> str:
        return self.gateway.machine.check(f"cat {self.path(kind)}")


class Gateway:
    """The machine and what tests do with it."""

    def __init__(self, image: LabImage, wheels: Path, agent: Path, notify: Notify) -> None:
        payload = ((wheels, "wheels"), (agent, "agent.pyz"))
        self.machine = Machine(image, MachineSettings(payload=payload), notify)
        self._runs = 0

    def boot(self) -> None:
        """Boot and install.  Raises MachineError."""
        self.machine.boot()
        try:
            self.machine.check(INSTALL, 180)
            self.machine.check(TOPOLOGY, 60)
        except MachineError:
            self.machine.close()
            raise

    def tunnel(self) -> None:
        """A fresh tunnel, whatever a test did to the one before."""
        self.machine.check(TOPOLOGY, 60)

    def wgprof(self, *words: str, before: str = "", timeout: float = 120) -> CommandResult:
        """Run wgprof as root and wait for its end; `before` is shell in front of the command."""
        return self.machine.run(f"cd {_FOLDER}; {before} {WGPROF} {shlex.join(words)}", timeout)

    def record(self, *words: str, user: str = "root", before: str = "") -> Running:
        """Start `wgprof record`."""
        self._runs += 1
        run = Running(self, f"run{self._runs}", Job(0, ""))
        out, err, code, pid = (run.path(kind) for kind in ("out", "err", "code", "pid"))
        command = shlex.join([WGPROF, "record", *words])
        if user != "root":
            command = f"su {user} -c {shlex.quote(f'cd ~; exec {command}')}"
        script = f"""
            cd {_FOLDER}
            sh -c 'echo $$ >{pid}; exec "$@"' sh {before} {command} >{out} 2>{err}
            echo $? >{code}.new; mv {code}.new {code}"""
        run.job = self.machine.start(script)
        return run

    def fetch(self, path: str, target: Path) -> Path:
        """Copy a file of the guest to the host."""
        target.write_bytes(base64.b64decode(self.machine.check(f"base64 -w0 {shlex.quote(path)}", 60)))
        return target

    def ping(self, count: int, interval: str = "") -> tuple[int, int]:
        """Send that many echo requests through the tunnel; how many were sent and answered."""
        text = self.machine.run(f"ping -q {interval or '-f'} -c {count} {FAR}", 300).stdout
        line = next((line for line in text.splitlines() if "transmitted" in line), "")
        assert line, f"{count} echo requests did not end in time: {text!r}"
        sent, answered = (int(part.split()[0]) for part in line.split(",")[:2])
        return sent, answered

    def nothing_left(self, timeout: float = 15) -> bool:
        """Whether in that time no agent runs any more and no BPF program, kprobe or file of one is left."""
        condition = f"""! pgrep -f '{AGENT}' >/dev/null && [ -z "$(bpftool prog show)" ] &&
            [ -z "$(cat /sys/kernel/tracing/kprobe_events)" ]"""
        return self.wait_until(condition, timeout)

    def wait_until(self, condition: str, timeout: float = 30) -> bool:
        """Whether a shell condition comes true in time."""
        result = self.machine.run(f"until {condition}; do sleep 0.1; done", timeout)
        return result.exit_code == 0
