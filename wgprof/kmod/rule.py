"""Semantic patches: what a rule promises in its head, and whether it kept the promise."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wgprof.errors import WgprofError
from wgprof.kmod.environment import Environment


class RuleError(WgprofError):
    """A semantic patch of ours does not fit this source."""


@dataclass(frozen=True)
class Rule:
    """One rule is one file.  Its head names the file it changes and what it adds or removes there, each once."""

    name: str
    path: Path
    target: str
    adds: tuple[str, ...]
    removes: tuple[str, ...]

    def difference(self, before: str, after: str) -> str:
        """Empty if the rule did what it promises, else what is wrong."""
        if before == after:
            return "matched nothing"
        before, after = _plain(before), _plain(after)
        for sign, texts in ((1, self.adds), (-1, self.removes)):
            for text in texts:
                count = after.count(_plain(text)) - before.count(_plain(text))
                if count != sign:
                    word = "added" if sign > 0 else "removed"
                    return f"{word} {text!r} {abs(count)} times instead of once"
        return ""


def _plain(text: str) -> str:
    """Without differences of white space: two versions of the tool set it differently."""
    return re.sub(r"\s+", " ", text)


def parse_rule(path: Path) -> Rule:
    """Read a rule's head.  Raises RuleError if it names no file or no effect."""
    head: dict[str, list[str]] = {"Files": [], "Adds": [], "Removes": []}
    for line in path.read_text().splitlines():
        if not line.startswith("//"):
            break
        match = re.match(r"// (Files|Adds|Removes): (.+)", line)
        if match:
            head[match[1]].append(match[2].strip())
    if len(head["Files"]) != 1 or not (head["Adds"] or head["Removes"]):
        raise RuleError(f"the rule {path.stem} does not say in its head which file it changes and how")
    return Rule(path.stem, path, head["Files"][0], tuple(head["Adds"]), tuple(head["Removes"]))


def apply_rules(environment: Environment, rules: Iterable[Path], source: Path) -> list[str]:
    """Apply rules in order to the tree at `source`, which lies inside the environment; returns their names.

    Raises RuleError naming the first rule that does not fit.  spatch is run once a rule: a rule
    whose effect is another rule's precondition is then no special case.
    """
    applied = []
    for path in rules:
        rule = parse_rule(path)
        target = source / rule.target
        if not target.is_file():
            raise RuleError(f"rule {rule.name} does not apply: this source has no {rule.target}", _remedy(rule))
        before = target.read_text()
        patch = source / path.name
        patch.write_text(path.read_text())
        inside = environment.inside(source)
        result = environment.run(
            ["spatch", "--very-quiet", "--in-place", "--sp-file", f"{inside}/{path.name}", f"{inside}/{rule.target}"]
        )
        patch.unlink()
        if result.returncode:
            said = (result.stderr.strip().splitlines() or ["spatch said nothing"])[-1]
            raise RuleError(f"rule {rule.name} cannot be applied to {rule.target}: {said}", _remedy(rule))
        difference = rule.difference(before, target.read_text())
        if difference:
            raise RuleError(f"rule {rule.name} does not apply: it {difference} in {rule.target}", _remedy(rule))
        applied.append(rule.name)
    return applied


def _remedy(rule: Rule) -> str:
    return f"WireGuard has changed there; compare {rule.path} with that source's {rule.target}."
