"""Stacks: a flame graph of WireGuard's sampled call stacks, from the outermost function down to the innermost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wgprof.analysis import units
from wgprof.analysis.names import clean
from wgprof.analysis.sampled import HotStack, Sampled
from wgprof.analysis.selection import Selection
from wgprof.analysis.summary import Analysis
from wgprof.analysis.tables import Tables
from wgprof.views import theme
from wgprof.views.figure import Figure, icicle
from wgprof.views.picture import Picture, View

#: Narrower than this nothing can be read or pointed at.
_LEAST_SHARE = 0.003
_MOST_DEPTH = 40
_ROW_PX = 24
_SCHEDULING = ("handle_softirq", "do_softirq", "net_rx_action", "napi", "schedule", "ksoftirqd", "smpboot",
               "worker_thread", "process_one_work", "kthread")  # fmt: skip
#: How names begin, underscores left out, and the colour of such a box.
_KINDS: Mapping[tuple[str, ...], str] = {
    ("wg_", "encrypt_packet", "decrypt_packet"): "#0072b2",
    ("chacha", "poly1305", "hchacha", "xchacha", "blake2s", "curve25519", "crypto_"): "#e69f00",
    _SCHEDULING: "#cc79a7",
}
_OTHER = "#9aa5b1"


@dataclass
class _Node:
    """A function below those that called it."""

    samples: int = 0
    below: dict[str, _Node] = field(default_factory=dict)


def flame(sampled: Sampled) -> Figure:
    """An icicle: as wide as the CPU time in a function and those it called.  Narrow ones are left out."""
    root = _tree(sampled.stacks)
    ids, labels, parents, values, colours, hovers = [""], ["WireGuard's paths"], [""], [root.samples], [_OTHER], [""]
    ids[0] = "/"
    per_sample = sampled.wireguard_ce / max(root.samples, 1)
    hovers[0] = f"WireGuard's paths: {units.cores(sampled.wireguard_ce)}, {root.samples:,} samples"
    pending, depth = [("/", root, 1)], 1
    while pending:
        parent, node, level = pending.pop()
        depth = max(depth, level)
        for name, below in sorted(node.below.items(), key=lambda item: -item[1].samples):
            if below.samples < _LEAST_SHARE * root.samples or level >= _MOST_DEPTH:
                continue
            ids.append(f"{parent}{len(ids)}/")
            labels.append(theme.safe(name, 60))
            parents.append(parent)
            values.append(below.samples)
            colours.append(_colour(name))
            share = units.share(below.samples / root.samples)
            hovers.append(f"{labels[-1]}<br>{share} of WireGuard's time, {units.cores(below.samples * per_sample)}")
            pending.append((ids[-1], below, level + 1))
    figure = theme.base(_ROW_PX * (depth + 1) + 40, margin={"l": 10, "r": 10, "t": 10, "b": 10})
    figure.add(
        icicle(
            ids=ids,
            labels=labels,
            parents=parents,
            values=values,
            branchvalues="total",
            tiling={"orientation": "v"},
            leaf={"opacity": 1},
            marker={"colors": colours, "line": {"width": 1, "color": "rgba(255,255,255,0.7)"}},
            textfont={"color": [_ink(colour) for colour in colours]},
            textposition="middle left",
            hovertext=hovers,
            hoverinfo="text",
            pathbar={"visible": False},
            sort=False,
        )
    )
    return figure


def _tree(stacks: Sequence[HotStack]) -> _Node:
    root = _Node()
    for stack in stacks:
        root.samples += stack.samples
        node = root
        for name in stack.path[:_MOST_DEPTH]:
            node = node.below.setdefault(name, _Node())
            node.samples += stack.samples
    return root


def _colour(name: str) -> str:
    plain = name.lstrip("_")
    return next((colour for begins, colour in _KINDS.items() if plain.startswith(begins)), _OTHER)


def _ink(colour: str) -> str:
    return "#ffffff" if colour == "#0072b2" else "#10151b"


def _draw(recording: Tables, analysis: Analysis, selection: Selection) -> list[Picture]:
    sampled = analysis.sampled
    if sampled is None or not sampled.stacks:
        return []
    return [
        Picture(
            "stacks",
            flame(sampled),
            f"Where WireGuard's CPU time is inside its functions, sampled for {sampled.window_s:.1f} s after the"
            " recording. Each box is a function, as wide as the time in it and in those below, which it called."
            " Blue: WireGuard. Orange: cryptography. Pink: softirqs and scheduling. Grey: the rest of the kernel. A"
            " wide box with nothing below it is where the time goes. Click to enlarge.",
        )
    ]


def _missing(recording: Tables, analysis: Analysis) -> str:
    sampled = analysis.sampled
    if sampled is not None and sampled.stacks:
        return ""
    if sampled is not None and sampled.wanting:
        return f"No stacks: {'; '.join(clean(line, 200) for line in sampled.wanting[:3])}"
    return "No stacks were sampled. `wgprof record --stacks 5` samples them with perf for 5 s after the recording."


VIEW = View(
    "stacks",
    "Stacks",
    "Which functions of the kernel the CPU time of WireGuard is spent in.",
    ("stacks",),
    _draw,
    _missing,
    whole=True,
)
