"""The report: one HTML file with everything in it, which asks nothing of any network.

Text from the recording is escaped by Jinja's autoescape; figures, plotly.js and the recording itself are in Base64,
in which nothing means anything to an HTML parser.  The page's Content-Security-Policy lets it load nothing, send no
form and take no other base, so even a mistake could not fetch anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.summary import DIRECTION_NAMES, Analysis, server_words
from wgprof.analysis.tables import Tables
from wgprof.errors import WgprofError
from wgprof.recording.writer import SUFFIX, replacing, this_version
from wgprof.report import comparison as comparing
from wgprof.report import ends, findings, sheets
from wgprof.report.embedded import ELEMENT, OTHER_ELEMENT, packed
from wgprof.report.sections import comparison_section, inflatable, packed_figures, sections_of
from wgprof.resources import resource_dir
from wgprof.rules.comparison import Comparison
from wgprof.rules.diagnose import diagnose
from wgprof.rules.verdict import answer

_LONGEST_VALUE = 400
_MOST_MANIFEST_ROWS = 300
#: A whole report stays below this: what mail takes, and a browser opens at once.
MOST_BYTES = 6_000_000
#: For what is not counted when the recording is packed: the elements around it.
_MARGIN = 20_000


@dataclass(frozen=True)
class Against:
    """The recording that a report compares its own with: the one before."""

    recording: Tables
    name: str
    comparison: Comparison


def write_report(recording: Tables, analysis: Analysis, title: str, out: Path, against: Against | None = None) -> int:
    """Write the report and return its size in bytes.  Raises WgprofError if the file cannot be written."""
    html = render(recording, analysis, title, against)
    try:
        with replacing(out) as file:
            file.write(html.encode())
        return out.stat().st_size
    except OSError as error:
        reason = error.strerror or str(error)
        raise WgprofError(f"cannot write {out}: {reason}", "Name another file with -o.") from error


def render(recording: Tables, analysis: Analysis, title: str, against: Against | None = None) -> str:
    """The whole page."""
    folder, diagnosis = resource_dir("reports"), diagnose(analysis, recording)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    sections = sections_of(recording, analysis)
    names = (clean(against.name, 40), clean(title, 40)) if against else ("", "")
    compared = comparison_section(against.comparison, names) if against else None
    page = environment.get_template("template.html.j2").render(
        title=clean(title, 80),
        file_name=_file_name(title),
        version=this_version(),
        created=clean(recording.manifest.get("created", ""), 40),
        analysis=analysis,
        warning=analysis.variant.warning,
        verdict=[clean(line, 1000) for line in answer(analysis, diagnosis)],
        findings=findings.shown_findings(diagnosis),
        notes=sheets.notes(analysis),
        ends_lines=ends.lines(analysis.ends) if analysis.ends is not None else [],
        direction_names=DIRECTION_NAMES,
        server_words=server_words,
        units=units,
        compared=compared,
        compared_lines=[clean(line, 1000) for line in comparing.lines(against.comparison, names)] if against else [],
        compared_notes=[comparing.ONE_RUN, comparing.TEST],
        sections=sections,
        titles={picture.name: section.title for section in sections for picture in section.pictures},
        sheets={
            "failed": [sheets.quality_sheet(analysis, only_failed=True)] if analysis.failed else [],
            "ruled_out": [findings.ruled_out_sheet(diagnosis)] if analysis.window is not None else [],
            "ends": ends.ends_sheets(analysis.ends) if analysis.ends is not None else [],
            "log": [sheets.log_sheet(recording, ("info", "warning", "error"))],
        },
        figures=dict(packed_figures([*sections, *([compared] if compared else [])])),
        manifest=list(manifest_rows(recording.manifest))[:_MOST_MANIFEST_ROWS],
        probes=probes_sheet(recording),
        style=Markup((folder / "style.css").read_text()),  # noqa: S704  # our own files, not the recording's
        script=Markup((folder / "report.js").read_text()),  # noqa: S704
        plotly=plotly_source(),
        allowed_scripts=Markup(allowed_scripts()),  # noqa: S704  # its quotes are part of it
    )
    return _with_recordings(page, [(ELEMENT, recording), *([(OTHER_ELEMENT, against.recording)] if against else [])])


def _file_name(title: str) -> str:
    """What the recording is called when it is saved again: only characters that every file system takes."""
    stem = "".join(c for c in title.removesuffix(SUFFIX) if c.isascii() and (c.isalnum() or c in "-_."))[:60]
    return f"{stem.strip('.') or 'recording'}{SUFFIX}"


@cache
def plotly_source() -> str:
    """plotly.js as `report.js` inflates it."""
    return inflatable(get_plotlyjs())


@cache
def allowed_scripts() -> str:
    """Value of `script-src` in a page's policy: `report.js`, and plotly.js that it inflates.  No other script runs."""
    texts = ((resource_dir("reports") / "report.js").read_text(), get_plotlyjs())
    return " ".join(f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)


def _with_recordings(page: str, recordings: list[tuple[str, Tables]]) -> str:
    """The page with as much of the recordings as there is room for, at the place that the template keeps for them."""
    each = (MOST_BYTES - len(page.encode()) - _MARGIN) * 3 // 4 // len(recordings)
    elements, notes = [], []
    for element, recording in recordings:
        data, note = packed(recording, max(each, 0))
        if data:
            text = base64.b64encode(data).decode("ascii")
            elements.append(f'<script type="application/x-wgprof" id="{element}">{text}</script>')
        notes += [_CONTAINED] if data else []
        notes += [note] if note else []
    before, _, rest = page.partition(_NOTE_PLACE)
    between, _, after = rest.partition(_PLACE)
    return "".join((before, " ".join(dict.fromkeys(notes)), between, "\n".join(elements), after))


_CONTAINED = "This page contains its recording: <code>wgprof show</code> reads it."
#: Where the template keeps place; the escaper leaves neither in anything that came from a recording.
_NOTE_PLACE, _PLACE = "<!--note-->", "<!--recording-->"


def probes_sheet(recording: Tables) -> sheets.Sheet:
    """Every probe, and where it could not be attached why."""
    sheet = sheets.Sheet("What was attached where", ("point", "symbol", "kind", "missed runs", "remark"), left=3)
    for row in recording.table("probes").to_dict("records"):
        misses = int(row["misses"])
        cells = [clean(row["point"]), clean(row["symbol"]), clean(row["kind"], 16)]
        sheet.add([*cells, f"{misses:,}" if misses >= 0 else "not known", clean(row["error"], 200)])
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
