"""Mutants of the judge, the approvals and the budget's reader, and which of them the tests notice.

`run` draws a seeded sample of mutants, stratified by module, lets mutmut try the tests on each, and writes
results/mutations.jsonl; `again` tries what survived once more, after tests were added; `tell` writes
results/mutations.md out of it. What is known of a survivor is written into its row of the jsonl, as `why`. Another
sample has another name (`--name mutations-fresh`).

A mutant counts as killed when a test fails, when the tests take far longer than without it, or when they crash. What no
test reaches counts as survived. mutmut changes what stands in functions and methods, but for those with a decorator:
constants and tables of a module are not in the sample. Everything happens in copies below .cache/mutations.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".cache" / "mutations"
RESULTS = Path(__file__).parent / "results"

#: As mutmut names exit codes of pytest and signals; anything else is told as it is.
SAID = {1: "killed", 3: "killed", 0: "survived", 5: "survived", 33: "survived"}
SAID |= dict.fromkeys((-24, 24, 36, 152, 255), "timeout") | dict.fromkeys((-11, -9), "crashed")
DEAD = ("killed", "timeout", "crashed")

#: Left out of every group: they count calls or seconds, which the switches between mutants change; or they have `::` in
#: their names, so that mutmut cannot ask for them; or other tests say the same.
LEFT_OUT = (
    "tests/judge/test_policy.py::test_what_judging_one_rule_costs_does_not_grow_and_is_bounded",
    "tests/judge/test_policy.py::test_ten_thousand_rules_are_judged_in_time_that_grows_with_their_number",
    "tests/test_yamlspan.py::test_a_bomb_is_told_a_hundred_times_at_most",
    "tests/test_yamlspan.py::test_importing_it_does_not_import_yaml",
    "tests/test_cases.py::test_a_story_leaves_nothing_half_written",
    "tests/test_verdict_file.py::test_hostile_text_comes_back_the_same",
    "tests/budget_file/test_shared_policies.py::test_a_repository_that_is_a_command_or_holds_a_secret_is_refused",
)


@dataclass(frozen=True)
class Group:
    """Modules that are mutated, and the tests tried on them: at first `most` of those that reach one, the quickest."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()
    most: int = 100


GROUPS = {
    "policy": Group(
        (
            "judge/*",
            "budget_file/*",
            "yamlspan/*",
            *(f"{name}.py" for name in ("bound", "budget", "codec", "comparison", "errors", "generation", "intensity")),
            *(f"{name}.py" for name in ("ledger", "metrics", "profile", "recipe", "reference", "units", "verdict")),
        ),
        (
            "tests/judge",
            "tests/budget_file",
            "tests/tasks/test_policy_tests.py",
            *(f"tests/test_{name}.py" for name in ("cases", "codec", "diagnostics", "drift", "errors", "judge")),
            *(f"tests/test_{name}.py" for name in ("units", "verdict_file", "yamlspan")),
        ),
        ("tests/budget_file/test_budget_schema.py::test_a_budget_is_built_or_refused_whatever_it_says",),
    ),
    "approvals": Group(
        ("approval.py", "gate/trust.py", "tasks/approve.py"), ("tests/trust", "tests/test_cases.py"), most=30
    ),
}

_JUDGING = (*(f"tests/judge/test_{name}.py" for name in ("policy", "locked", "reference")), "tests/test_judge.py")
_READING = tuple(f"tests/budget_file/test_{name}.py" for name in ("budget_read", "budget_nouns", "shared_policies"))
_TRUSTING = tuple(f"tests/trust/test_{name}.py" for name in ("approvals", "target_branch", "carbon_of_target"))
#: What is tried on a survivor, in a process of its own: the tests of its room, by the beginning of its name, and then
#: the stories and the tests of policies.
OUTSIDE = ("tests/test_cases.py", "tests/tasks/test_policy_tests.py")
ROOMS = {
    "judge.carbon": ("tests/test_cases.py", "-k", "carbon"),
    "judge.advice": (*_JUDGING, "tests/test_cases.py"),
    "judge": (*_JUDGING, "tests/test_drift.py"),
    "bound": _JUDGING,
    "budget_file.place": ("tests/budget_file/test_place.py", *_READING),
    "budget_file.json_schema": ("tests/budget_file/test_budget_schema.py",),
    "budget_file": (*_READING, "tests/budget_file/test_budget_schema.py"),
    "yamlspan": ("tests/test_yamlspan.py", *_READING),
    "codec": ("tests/test_codec.py",),
    "errors": ("tests/test_errors.py",),
    "units": ("tests/test_units.py",),
    "ledger": ("tests/carbon/test_ledger.py",),
    "profile": ("tests/test_profile_file.py",),
    "approval": ("tests/trust/test_approval_files.py", "tests/trust/test_approvals.py"),
    "tasks.approve": ("tests/trust/test_approve.py", "tests/trust/test_approvals.py"),
    "gate.trust": _TRUSTING,
    "": (*_JUDGING, *_READING, "tests/budget_file/test_budget_schema.py"),
}

#: Properties are tried with the same examples every time, without a time limit; a counterexample is not made small.
PLUGIN = """\
from hypothesis import Phase, settings

phases = (Phase.explicit, Phase.generate)
settings.register_profile("mutants", derandomize=True, database=None, deadline=None, phases=phases)
settings.load_profile("mutants")
"""


def options(group: Group) -> list[str]:
    left_out = [f"--deselect={one}" for one in (*LEFT_OUT, *group.without)]
    return ["-p", "no:cacheprovider", "-p", "mutants_plugin", *left_out]


def prepared(name: str) -> Path:
    """Copy what git tracks below .cache, where it is new, and configure mutmut there; return the folder."""
    here, group = WORK / name, GROUPS[name]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = [one for one in listed.split("\0") if one and (ROOT / one).is_file()]
    for one in tracked:
        to = here / one
        if not to.exists() or to.read_bytes() != (ROOT / one).read_bytes():
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / one, to)
    beside = sorted({one.split("/")[0] for one in tracked} - {"greengate", "tests", "benchmarks"})
    (here / "beside").mkdir(exist_ok=True)
    (here / "beside" / "mutants_plugin.py").write_text(PLUGIN)
    settings = {
        "source_paths": ["greengate/"],
        "only_mutate": [f"greengate/{one}" for one in group.modules],
        "also_copy": beside,
        "pytest_add_cli_args": options(group),
        "pytest_add_cli_args_test_selection": list(group.tests),
    }
    lines = [line for key, values in settings.items() for line in (f"{key}=", *(f"    {one}" for one in values))]
    (here / "setup.cfg").write_text("\n".join(["[mutmut]", *lines, "use_git_change_detection=false", ""]))
    return here


def mutmut(here: Path, names: Iterable[str], children: int) -> None:
    environ = os.environ | {"PYTHONPATH": str(here / "beside"), "PYTHONDONTWRITEBYTECODE": "1"}
    tool = Path(sys.executable).with_name("mutmut")
    words = [str(tool), "run", "--max-children", str(children), *names]
    subprocess.run(words, cwd=here, env=environ, check=True)


def alone(here: Path, group: Group, mutant: str) -> str:
    """Try a mutant in fresh processes, from the first import on: those of its room, then the stories."""
    there, short = here / "mutants", mutant.removeprefix("greengate.")
    tests = next(words for begin, words in ROOMS.items() if short.startswith(begin))
    environ = os.environ | {"PYTHONPATH": f"{there}:{here / 'beside'}", "PYTHONDONTWRITEBYTECODE": "1"}
    said = "survived"
    for chosen in (tests, OUTSIDE):
        known = [word for word in chosen if not word.startswith("tests/") or (there / word).exists()]
        words = [sys.executable, "-m", "pytest", "-x", "-q", *options(group), *known]
        done = subprocess.run(
            words, cwd=there, env=environ | {"MUTANT_UNDER_TEST": mutant}, capture_output=True, check=False
        )
        said = SAID.get(done.returncode, f"unknown {done.returncode}")
        if said in DEAD:
            return said
    return said


def outcomes(here: Path) -> dict[str, int | None]:
    """Return every mutant of a group and what became of it, by name."""
    found: dict[str, int | None] = {}
    for path in sorted((here / "mutants" / "greengate").rglob("*.py.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def module_of(mutant: str) -> str:
    return mutant.rpartition(".")[0]


def sample(mutants: Iterable[str], share: float, chance: random.Random) -> list[str]:
    """Draw the same share of every module's mutants, and one at least."""
    strata: dict[str, list[str]] = {}
    for one in sorted(mutants):
        strata.setdefault(module_of(one), []).append(one)
    drawn = (chance.sample(names, max(1, round(share * len(names)))) for names in strata.values())
    return [one for names in drawn for one in names]


def shown(here: Path, mutant: str) -> str:
    tool = Path(sys.executable).with_name("mutmut")
    said = subprocess.run([str(tool), "show", mutant], cwd=here, capture_output=True, text=True, check=True).stdout
    changed = [line for line in said.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(line[0] + line[1:].strip() for line in changed)


def read(rows: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def begin(name: str, here: Path, anew: bool = False) -> list[str]:
    """Make the mutants of a group and learn which tests reach which function; return their names."""
    if anew or not outcomes(here):
        one = next(module for module in GROUPS[name].modules if module.endswith(".py"))
        mutmut(here, [f"greengate.{one[:-3].replace('/', '.')}.*__mutmut_1"], 1)
    return list(outcomes(here))


def fewer(here: Path, most: int) -> None:
    """Let mutmut try no more than so many tests on a mutant, the quickest of those that reach its function."""
    path = here / "mutants" / "mutmut-stats.json"
    known = json.loads(path.read_text())
    seconds, reach = known["duration_by_test"], known["tests_by_mangled_function_name"]
    for name, tests in reach.items():
        reach[name] = sorted(tests, key=lambda test: seconds.get(test, 0.0))[:most]
    known["config_fingerprint"] = {}
    path.write_text(json.dumps(known))


def run(path: Path, groups: Iterable[str], share: float, seed: int, children: int) -> None:
    for name in groups:
        here, group = prepared(name), GROUPS[name]
        drawn = sample(begin(name, here), share, random.Random(seed))
        fewer(here, group.most)
        left = [one for one in drawn if outcomes(here)[one] is None]
        if left:
            mutmut(here, left, children)
        collect(path, name, here, drawn)


def collect(path: Path, name: str, here: Path, drawn: Iterable[str]) -> None:
    """Put what became of mutants into their rows; a survivor is tried once more, and shown with its change."""
    made, rows = outcomes(here), {row["mutant"]: row for row in read(path)}
    sizes: dict[str, int] = {}
    for one in made:
        sizes[module_of(one)] = sizes.get(module_of(one), 0) + 1
    for one in drawn:
        said = SAID.get(made[one], f"unknown {made[one]}")  # type: ignore[arg-type]
        row = {"mutant": one, "group": name, "of": sizes[module_of(one)]}
        row["first"] = said if said in DEAD else alone(here, GROUPS[name], one)
        rows[one] = row if row["first"] in DEAD else {**row, "change": shown(here, one)}
    write(path, sorted(rows.values(), key=lambda row: (row["group"], row["mutant"])))


def again(path: Path) -> None:
    """Try what survived once more, with code and tests as they stand now; what is no longer made is gone."""
    rows = read(path)
    for name, group in GROUPS.items():
        left = [row for row in rows if row["group"] == name and at_last(row) not in DEAD and at_last(row) != "gone"]
        here = prepared(name)
        if left:
            begin(name, here, anew=True)
        for row in left:
            same = row["mutant"] in outcomes(here) and shown(here, row["mutant"]) == row["change"]
            row["last"] = alone(here, group, row["mutant"]) if same else "gone"
    write(path, rows)


def interval(hits: int, of: int) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a share, from 0 to 1 (Wilson 1927)."""
    z = 1.959964
    middle = (hits + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(hits * (of - hits) / of + z * z / 4)
    return middle - half, middle + half


def at_first(row: Mapping[str, Any]) -> str:
    return str(row["first"])


def at_last(row: Mapping[str, Any]) -> str:
    return str(row.get("last", row["first"]))


def rate(rows: list[dict[str, Any]], said: Callable[[Mapping[str, Any]], str]) -> str:
    hits = sum(said(row) in DEAD for row in rows)
    low, high = interval(hits, len(rows))
    return f"{hits} of {len(rows)} killed, {100 * hits / len(rows):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def room(row: Mapping[str, Any]) -> str:
    """Return the package or module of a mutant, as a path."""
    parts = module_of(row["mutant"]).split(".")[1:]
    return f"{parts[0]}/" if parts[0] in ("judge", "budget_file", "yamlspan") else f"{'/'.join(parts)}.py"


def first_and_last(rows: list[dict[str, Any]], there: list[dict[str, Any]]) -> list[str]:
    if not any("last" in row for row in rows):
        return [f"By the tests as they stood: **{rate(rows, at_first)}**."]
    return [
        f"- by the tests as they stood, at least: **{rate(rows, at_first)}**; approvals by 30 quick tests",
        f"- by the tests as they stand now, the same mutants: **{rate(there, at_last)}**; of "
        f"{len(rows) - len(there)} more the code is gone",
        "",
        "The second figure is no estimate for mutants outside of the sample: tests were added for these very mutants.",
        "The rows were tried before the script had its last form, some with all tests that reach a mutant, others with",
        "the 100 quickest, survivors with the tests of their rooms. A sample drawn afterwards, by the script alone,",
        "stands in mutations-fresh.md.",
    ]


def tell(path: Path) -> None:
    """Write the table beside its rows."""
    rows = read(path)
    there = [row for row in rows if at_last(row) != "gone"]
    made = {module_of(row["mutant"]): row["of"] for row in rows}
    versions = ", ".join(f"{each} {importlib.metadata.version(each)}" for each in ("mutmut", "pytest", "hypothesis"))
    lines = [
        "# Mutants of the judge, the approvals and the budget's reader",
        "",
        f"Written by benchmarks/mutations.py on {datetime.now(UTC):%Y-%m-%d}: {versions},",
        f"Python {platform.python_version()}. A random sample, not all of them: {len(rows)} of {sum(made.values()):,}",
        "mutants, the same share of every module's.",
        "Intervals are Wilson's, 95 %. What was killed and how the tests were chosen stands at the head of the script.",
        "",
        *first_and_last(rows, there),
        "",
        "| module | mutants | tried | killed at first | killed now |",
        "|:--|--:|--:|--:|--:|",
    ]
    for name in sorted({room(row) for row in rows}):
        mine = [row for row in rows if room(row) == name]
        of = sum({module_of(row["mutant"]): row["of"] for row in mine}.values())
        first, last = (sum(said(row) in DEAD for row in mine) for said in (at_first, at_last))
        lines.append(f"| {name} | {of:,} | {len(mine)} | {first} | {last} |")
    for title, said in (("Survivors", at_last), ("Survived at first, killed by tests that were added", at_first)):
        left = [row for row in there if said(row) not in DEAD and (said is at_last or at_last(row) in DEAD)]
        lines += ["", f"## {title}", "", f"{len(left)} mutants."]
        for row in left:
            why = f" {row['why']}" if said is at_last and "why" in row else ""
            lines += ["", f"`{row['mutant']}`{why}", "", "```diff", row["change"], "```"]
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("do", choices=("run", "again", "tell"))
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; all if none")
    parser.add_argument("--share", type=float, default=0.07, help="of every module's mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--children", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--name", default="mutations", help="of the files below results (default: %(default)s)")
    asked = parser.parse_args()
    path = RESULTS / f"{asked.name}.jsonl"
    if asked.do == "run":
        run(path, asked.groups or GROUPS, asked.share, asked.seed, asked.children)
    elif asked.do == "again":
        again(path)
    tell(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
