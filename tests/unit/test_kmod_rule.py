"""A rule that does not do exactly what its head promises must stop the build, by name."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from wgprof.kmod.environment import Environment
from wgprof.kmod.rule import Rule, RuleError, apply_rules, parse_rule
from wgprof.kmod.variant import find_variant, variant_names

RULE = """// Sends twice.
// Files: send.c
// Adds: again(peer)
@@ @@
-once()
+again(peer)
"""


def write_rule(folder: Path, text: str = RULE) -> Path:
    path = folder / "twice.cocci"
    path.write_text(text)
    return path


@dataclass(frozen=True)
class FakeEnvironment(Environment):
    """spatch replaced by a plain substitution of words in the target."""

    old: str = ""
    new: str = ""
    code: int = 0

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        target = Path(command[-1])
        target.write_text(target.read_text().replace(self.old, self.new))
        return subprocess.CompletedProcess(command, self.code, "", "spatch: syntax error\n" if self.code else "")


def apply(tmp_path: Path, old: str, new: str, code: int = 0, source: str = "int f() { once(); }\n") -> list[str]:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "send.c").write_text(source)
    return apply_rules(FakeEnvironment(Path("/"), "6.1", old, new, code), [write_rule(tmp_path)], tree)


def test_head_is_read(tmp_path: Path) -> None:
    rule = parse_rule(write_rule(tmp_path))
    assert (rule.name, rule.target, rule.adds, rule.removes) == ("twice", "send.c", ("again(peer)",), ())


def test_head_without_effect_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="twice"):
        parse_rule(write_rule(tmp_path, "// Files: send.c\n@@ @@\n-a\n+b\n"))


def test_rule_that_fits(tmp_path: Path) -> None:
    assert apply(tmp_path, "once()", "again(peer)") == ["twice"]


def test_rule_that_matches_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"rule twice does not apply: it matched nothing in send\.c"):
        apply(tmp_path, "elsewhere()", "again(peer)")


def test_rule_that_matches_too_often_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"rule twice does not apply: it added .* 2 times"):
        apply(tmp_path, "once()", "again(peer)", source="int f() { once(); once(); }\n")


def test_rule_that_does_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"rule twice does not apply: it added .* 0 times"):
        apply(tmp_path, "once()", "never()")


def test_rule_that_spatch_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match=r"rule twice cannot be applied to send\.c: spatch: syntax error"):
        apply(tmp_path, "once()", "again(peer)", code=1)


def test_white_space_makes_no_difference() -> None:
    rule = Rule("r", Path("r.cocci"), "a.c", ("call(a, b)",), ())
    assert rule.difference("x;", "x; call(a,\n\t b);") == ""


def test_removal_counts() -> None:
    rule = Rule("r", Path("r.cocci"), "a.c", (), ("static",))
    assert rule.difference("static int a; static int b;", "int a; static int b;") == ""
    assert "2 times" in rule.difference("static int a; static int b;", "int a; int b;")


@pytest.mark.parametrize("lab_crypto", [False, True])
@pytest.mark.parametrize("name", variant_names())
def test_every_rule_of_ours_has_a_head(name: str, lab_crypto: bool) -> None:
    rules = [parse_rule(path) for path in find_variant(name, lab_crypto=lab_crypto).rules]
    assert len({rule.name for rule in rules}) == len(rules)
    assert bool(rules) == (name != "vanilla" or lab_crypto)
