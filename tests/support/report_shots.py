"""Pictures of a report's views for docs/.

python -m tests.support.report_shots RECORDING VIEW OUT.png [--against OTHER]

A report is made as a user would, all but one view is hidden in it, and Chromium takes the picture of a page that is
1280 pixels wide.
VIEW may end in `:FIGURE,FIGURE` to have only some of the view's figures.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import click
from click.testing import CliRunner

from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import analyse
from wgprof.cli.report import command as report
from wgprof.recording.reader import open_recording
from wgprof.rules.comparison import compared
from wgprof.views import compare
from wgprof.views.catalogue import pictures, view_of
from wgprof.views.picture import Picture

WIDTH_PX = 1280
#: Of a picture's pixels to the page's: about what a page of documentation is wide.
_SCALE = 0.75
#: What docs/ may hold a picture.
MOST_BYTES = 150_000
#: Around a figure, and for three lines of words below it.
_AROUND_PX, _HEAD_PX = 95, 90
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
    " --disable-sync --hide-scrollbars --virtual-time-budget=60000"
)


def take(recording: Path, view: str, out: Path, against: Path | None = None) -> None:
    """Write the picture.  Raises RuntimeError if there is nothing to see, or if the picture is too large for docs/."""
    name, _, figures = view.partition(":")
    shown = _pictures(recording, name, against)
    wanted = figures.split(",") if figures else [picture.name for picture in shown]
    shown = [picture for picture in shown if picture.name in wanted]
    if not shown:
        raise RuntimeError(f"{recording} has nothing for {view}")
    height = sum(int(picture.figure.layout["height"]) + _AROUND_PX for picture in shown) + _HEAD_PX
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        more = ["--against", str(against)] if against else []
        result = CliRunner().invoke(report, [str(recording), *more, "-o", str(page)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        page.write_text(page.read_text().replace("</head>", f"<style>{_only(name, wanted)}</style></head>", 1))
        _shoot(page, Path(folder) / "profile", out, height)
    if out.stat().st_size > MOST_BYTES:
        raise RuntimeError(f"{out} has {out.stat().st_size:,} bytes; choose fewer figures")


def _pictures(file: Path, name: str, against: Path | None) -> list[Picture]:
    with open_recording(file) as recording:
        if name != compare.VIEW.name:
            return list(pictures(view_of(name), recording, analyse(recording), Selection()))
        assert against is not None, "comparing needs --against"
        with open_recording(against) as other:
            return compare.pictures_of(compared(other, recording), (against.name, file.name))


def _only(view: str, figures: list[str]) -> str:
    """A style sheet that leaves one view's heading, sentence and figures."""
    kept = ", ".join(f":has(#plot-{name})" for name in figures)
    return (
        f"header, footer, main > :not([aria-labelledby='h-{view}']), .scroll:has(table),"
        f" section > p:not(h2 + .note), figure:not({kept}) {{ display: none !important; }}"
        " h2 { margin-top: 14px; } main { max-width: none; } .modebar { display: none; }"
    )


def _shoot(page: Path, profile: Path, out: Path, height: int) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "install chromium"
    where = [
        f"--user-data-dir={profile}",
        f"--window-size={WIDTH_PX},{height}",
        f"--force-device-scale-factor={_SCALE}",
        f"--screenshot={out.resolve()}",
    ]
    subprocess.run([chromium, *_FLAGS.split(), *where, page.as_uri()], check=True, capture_output=True, timeout=120)


@click.command()
@click.argument("recording", type=click.Path(path_type=Path, exists=True))
@click.argument("view")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path, exists=True))
def main(recording: Path, view: str, out: Path, against: Path | None) -> None:
    take(recording, view, out, against)
    click.echo(f"Wrote {out} ({out.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
