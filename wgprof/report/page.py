"""The report: one HTML file with everything in it, which asks nothing of any network.

Text from the recording is escaped by Jinja's autoescape; in the figures' JSON every character that
means something to an HTML parser is written as an escape.  The page's Content-Security-Policy
forbids all requests, so even a mistake could not make one.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis
from wgprof.analysis.tables import Tables
from wgprof.errors import WgprofError
from wgprof.recording.writer import this_version
from wgprof.report import ends, findings, losses, outer, sheets
from wgprof.report.mechanics import mechanics_sheets
from wgprof.resources import resource_dir
from wgprof.rules.diagnose import diagnose
from wgprof.rules.finding import Diagnosis
from wgprof.rules.verdict import answer
from wgprof.views.catalogue import VIEWS, pictures

_LONGEST_VALUE = 400
_MOST_MANIFEST_ROWS = 300


def write_report(recording: Tables, analysis: Analysis, title: str, out: Path) -> int:
    """Write the report and return its size in bytes.  Raises WgprofError if the file cannot be written."""
    html = render(recording, analysis, title)
    try:
        with _replacing(out) as file:
            file.write(html)
        return out.stat().st_size
    except OSError as error:
        reason = error.strerror or str(error)
        raise WgprofError(f"cannot write {out}: {reason}", "Name another file with -o.") from error


def render(recording: Tables, analysis: Analysis, title: str) -> str:
    """The whole page."""
    folder, diagnosis = resource_dir("reports"), diagnose(analysis, recording)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html.j2").render(
        title=clean(title, 80),
        version=this_version(),
        created=clean(recording.manifest.get("created", ""), 40),
        analysis=analysis,
        warning=analysis.variant.warning,
        verdict=[clean(line, 1000) for line in answer(analysis, diagnosis)],
        findings=findings.shown_findings(diagnosis),
        notes=sheets.notes(analysis),
        ends_lines=ends.lines(analysis.ends) if analysis.ends is not None else [],
        direction_names=DIRECTION_NAMES,
        units=units,
        sheets=_sheets(recording, analysis, diagnosis),
        figures={
            name: embedded_json(json.loads(f.to_json(validate=False))) for name, f in _figures(recording, analysis)
        },
        manifest=list(manifest_rows(recording.manifest))[:_MOST_MANIFEST_ROWS],
        probes=probes_sheet(recording),
        style=Markup((folder / "style.css").read_text()),  # noqa: S704  # our own files, not the recording's
        script=Markup((folder / "report.js").read_text()),  # noqa: S704
        plotly=Markup(get_plotlyjs()),  # noqa: S704
    )


def _figures(recording: Tables, analysis: Analysis) -> Iterator[tuple[str, go.Figure]]:
    for view in VIEWS:
        for picture in pictures(view, recording, analysis, Selection()):
            yield picture.name, picture.figure


def _sheets(recording: Tables, analysis: Analysis, diagnosis: Diagnosis) -> dict[str, list[sheets.Sheet]]:
    return {
        "failed": [sheets.quality_sheet(analysis, only_failed=True)] if analysis.failed else [],
        "ruled_out": [findings.ruled_out_sheet(diagnosis)] if analysis.window is not None else [],
        "pipeline": sheets.pipeline_sheets(analysis),
        "servers": [sheets.servers_sheet(analysis)],
        "queues": [sheets.queues_sheet(analysis)],
        "cores": [sheets.cores_sheet(analysis), *outer.outer_sheets(analysis)],
        "mechanics": [sheet for sheet in mechanics_sheets(analysis) if sheet.rows],
        "ends": ends.ends_sheets(analysis.ends) if analysis.ends is not None else [],
        "quality": [losses.ledger_sheet(analysis), sheets.quality_sheet(analysis), losses.meanings_sheet(analysis)],
        "log": [sheets.log_sheet(recording, ("info", "warning", "error"))],
    }


def probes_sheet(recording: Tables) -> sheets.Sheet:
    sheet = sheets.Sheet("What was attached where", ("point", "symbol", "kind", "missed runs", "remark"), left=3)
    for row in recording.table("probes").to_dict("records"):
        cells = [clean(row["point"]), clean(row["symbol"]), clean(row["kind"], 16), f"{int(row['misses']):,}"]
        sheet.add([*cells, clean(row["error"], 200)])
    return sheet


def manifest_rows(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The manifest as dotted names and values, both cleaned."""
    for key, item in value.items():
        name = f"{prefix}{clean(key, 60)}"
        if isinstance(item, Mapping) and item:
            yield from manifest_rows(item, f"{name}.")
        elif isinstance(item, list) and any(isinstance(part, Mapping) for part in item):
            for number, part in enumerate(item):
                yield from manifest_rows(part if isinstance(part, Mapping) else {"": part}, f"{name}[{number}].")
        elif item not in ("", None, [], {}):
            yield name, clean(item if isinstance(item, str) else json.dumps(item), _LONGEST_VALUE)


def embedded_json(value: object) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # every character of meaning is escaped above


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A file that takes `path`'s place only when it was written to its end."""
    handle, name = tempfile.mkstemp(dir=path.parent or ".", prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
