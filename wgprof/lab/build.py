"""Building an image in steps; a step that is done is not repeated after an interruption."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from wgprof.errors import MachineError
from wgprof.lab import initramfs
from wgprof.lab.recipe import Recipe

Progress = Callable[[str, float], None]

VMLINUZ = "vmlinuz"
INITRD = "initrd.cpio"
DISK = "root.ext4"
OUT = "out"  # the folder of finished files inside the work folder

#: The tar, the unpacked tree and the disk exist side by side for a moment.
SPACE_BYTES = 4 << 30
#: mmdebstrap unpacks in the folder for temporary files.
TEMP_BYTES = 1536 << 20

#: What mmdebstrap says -> what we say, and how far the build is by then (measured).
_MILESTONES = (
    ("running apt-get update", "fetching package lists", 0.02),
    ("downloading packages", "downloading packages", 0.05),
    ("extracting archives", "unpacking the base system", 0.25),
    ("installing essential", "installing the base system", 0.30),
    ("installing remaining", "installing the kernel and the tools", 0.40),
    ("cleaning package lists", "tidying up", 0.76),
    ("creating tarball", "packing", 0.78),
)

_UNNEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def build(recipe: Recipe, work: Path, progress: Progress) -> str:
    """Make vmlinuz, initrd and disk in `work`/out; returns the kernel's release.

    Raises MachineError with a remedy.  `work` may hold the tar of an earlier, interrupted run.
    """
    _make_room(work)
    tar = work / "root.tar"
    if not tar.exists():
        part = work / "root.tar.part"
        bootstrap(recipe, part, progress)
        part.rename(tar)
    out = work / OUT
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    progress(f"lab image {recipe.kernel}: taking out the kernel", 0.84)
    try:
        release = extract_boot_files(tar, out)
    except (tarfile.TarError, OSError, KeyError, EOFError) as error:
        tar.unlink(missing_ok=True)
        raise MachineError(f"the lab's image is incomplete: {error}", "Run the command again.") from error
    progress(f"lab image {recipe.kernel}: writing the disk", 0.86)
    make_disk(recipe, tar, work, out / DISK)
    progress(f"lab image {recipe.kernel}: computing checksums", 0.96)
    return release


def bootstrap_command(recipe: Recipe, target: str) -> list[str]:
    """mmdebstrap's command line; the mirror is the distribution's default."""
    command = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(recipe.packages)}"]
    command += [f"--aptopt={option}" for option in recipe.apt_options]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in _UNNEEDED]
    return [*command, recipe.suite, target]


def bootstrap(recipe: Recipe, target: Path, progress: Progress) -> None:
    """Fill `target` with a tar of the distribution."""
    # Our own initial RAM disk is used: do not spend half a minute on the distribution's (INITRD=No).
    environment = {**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8"}
    environment["PATH"] = environment.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    lines: list[str] = []
    with target.open("wb") as out:
        process = subprocess.Popen(
            bootstrap_command(recipe, "-"),
            stdout=out,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
            text=True,
            errors="replace",
        )
        assert process.stderr is not None
        try:
            for line in process.stderr:
                lines.append(line.rstrip())
                for pattern, words, done in _MILESTONES:
                    if pattern in line:
                        progress(f"lab image {recipe.kernel}: {words}", done)
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            target.unlink(missing_ok=True)
            raise
    if code:
        target.unlink(missing_ok=True)
        raise explain_failure(_failed(recipe), lines)


_CAUSES = (
    (r"No space left on device", "the disk is full", "Free some space (about 4 GB) and run it again."),
    (
        r"NO_PUBKEY|is not signed|no valid OpenPGP|keyring",
        "the archive's signature cannot be checked",
        "Install the keys: sudo apt install debian-archive-keyring",
    ),
    (
        r"resolving|Could not connect|unreachable|Failed to fetch|timed out|Connection refused|Unable to connect",
        "the package archive cannot be reached",
        "Check the network, or the proxy in apt's configuration, and run it again.",
    ),
    (
        r"pick chroot mode|unshare|newuidmap|subuid|user namespace",
        "this user cannot make a user namespace with users of its own",
        "Install what it takes with: sudo apt install uidmap (a line in /etc/subuid, too), or run it as root.",
    ),
)


def explain_failure(what: str, lines: list[str]) -> MachineError:
    """mmdebstrap's last lines as one sentence, which begins with `what` failed, and a remedy."""
    telling = [line for line in lines if re.match(r"(E|Err|error|dpkg)\b", line)] or lines[-1:]
    text = "\n".join(lines[-60:])
    for pattern, sentence, remedy in _CAUSES:
        if re.search(pattern, text):
            return MachineError(f"{what}: {sentence}", remedy)
    cause = telling[0][:200] if telling else "mmdebstrap said nothing"
    return MachineError(f"{what}: {cause}", "Run it again for another try.")


def _failed(recipe: Recipe) -> str:
    return f"the lab image {recipe.kernel} could not be built"


def extract_boot_files(tar: Path, out: Path) -> str:
    """Write vmlinuz and the initial RAM disk from the tar; returns the kernel's release."""
    with tarfile.open(tar) as archive:
        members = {member.name.removeprefix("./"): member for member in archive}

        def read(name: str) -> bytes:
            stream = archive.extractfile(members[name])
            if stream is None:
                raise KeyError(name)
            return stream.read()

        kernels = sorted(name for name in members if name.startswith("boot/vmlinuz-"))
        if not kernels:
            raise KeyError("boot/vmlinuz")
        release = kernels[-1].removeprefix("boot/vmlinuz-")
        (out / VMLINUZ).write_bytes(read(kernels[-1]))
        (out / INITRD).write_bytes(initramfs.base_archive(read, release))
    return release


def make_disk(recipe: Recipe, tar: Path, work: Path, disk: Path) -> None:
    """An ext4 disk with the tar's content, owners included."""
    tree, part = work / "tree", disk.with_suffix(".part")
    script = (
        'set -e; rm -rf "$2"; mkdir "$2"; tar -x --numeric-owner --exclude="./dev/*" -f "$1" -C "$2"; '
        'mke2fs -q -t ext4 -m 0 -O ^has_journal -E root_owner=0:0,lazy_itable_init=0 -d "$2" "$3" "$4"; rm -rf "$2"'
    )
    command = ["sh", "-c", script, "sh", str(tar), str(tree), str(part), f"{recipe.disk_bytes // 1024}k"]
    if os.geteuid():
        # Owners other than the user exist in a user namespace only.
        command = ["unshare", "--user", "--map-root-user", "--map-auto", *command]
    environment = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise explain_failure(_failed(recipe), result.stderr.splitlines())
    part.rename(disk)


def _make_room(work: Path) -> None:
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            f"the lab's cache {work.parent} cannot be written: {error.strerror}",
            "Set WGPROF_CACHE to a folder with 4 GB of space.",
        ) from error
    for leftover in work.glob("*.part"):
        leftover.unlink()
    done = sum(path.stat().st_size for path in work.glob("root.tar"))
    for place, needed in ((work, SPACE_BYTES - done), (Path(tempfile.gettempdir()), 0 if done else TEMP_BYTES)):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise MachineError(
                f"building the lab image needs {needed / 1e9:.1f} GB in {place}, {free / 1e9:.1f} GB are free",
                "Free some space, or set WGPROF_CACHE (TMPDIR for temporary files) to another disk.",
            )
