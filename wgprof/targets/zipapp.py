"""Packs the agent: its Python files and the probes, as one zipapp that runs with any Python 3.9+."""

from __future__ import annotations

import zipfile
from pathlib import Path

from wgprof.resources import resource_dir

_MAIN = "import sys\nfrom wgprof.agent.main import main\nsys.exit(main())\n"


def build_agent(path: Path) -> Path:
    """Writes the agent to `path` (about 40 KB) and returns it."""
    agent = Path(__file__).resolve().parent.parent / "agent"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", _MAIN)
        archive.writestr("wgprof/__init__.py", "")
        for source in sorted(agent.glob("*.py")):
            archive.write(source, f"wgprof/agent/{source.name}")
        probes = resource_dir("probes")
        for source in sorted(probes.rglob("*")):
            if source.is_file():
                archive.write(source, f"probes/{source.relative_to(probes)}")
    return path
