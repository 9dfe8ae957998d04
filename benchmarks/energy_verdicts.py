"""How often the gate is wrong about energy, on a simulated counter with 1 % noise a window.

Each row judges a model that truly draws so much more than its baseline, under `energy_per_1k: max_increase: 5%`, many
times over with another seed each; the whole gate runs, a second look at failures included, only the clock and the
counters are simulated. Files of both models always differ in bytes. An inconclusive verdict is *false*: the truth is
never at the limit. Those that rest on the trial's own control (two copies of the baseline that differ beyond chance)
are told apart.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from collections import Counter
from pathlib import Path

from greengate import gate
from greengate.verdict import Status

RESULTS = Path(__file__).parent / "results" / "energy_verdicts.md"
NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
FIRST_SEED = 1000
#: What is truly drawn more -> how many verdicts, and which share of them has to say what.
ROWS = {
    0.00: (200, "none fails", "fail", 0.0),
    0.02: (50, "all pass", "pass", 1.0),
    0.08: (50, "all fail", "fail", 1.0),
}
ROWS[0.10] = (200, "95 % fail", "fail", 0.95)
BUDGET = """version: 1
models: [{{name: net, path: net.fake.yaml}}]
workload: {{seed: {seed}}}
rules: [{{metric: energy_per_1k, max_increase: 5%}}]
"""
FAKE = "fake: 1\nlatency: 10 ms\nenergy: {joules!r} J\ndram_energy: {dram!r} J\nwindow_noise: 1%\nnote: {note}\n"


def judged(folder: Path, more: float, seed: int) -> tuple[Status, str, float]:
    """Return what the gate says, why, and the seconds that the trial took on the clock of the simulation."""
    for name, factor in (("baseline", 1.0), ("net", 1.0 + more)):
        text = FAKE.format(joules=0.9 * factor, dram=0.1 * factor, note=name)
        (folder / f"{name}.fake.yaml").write_text(text)
    (folder / "budgets.yaml").write_text(BUDGET.format(seed=seed))
    request = gate.Request(
        str(folder / "budgets.yaml"), against=f"file:{folder}/baseline.fake.yaml", environ={"CI": "true"}
    )
    verdict = gate.check(request, NOW).verdict
    return verdict.status, verdict.outcomes[0].reason, verdict.seconds


def row(more: float, count: int) -> tuple[Counter[str], float]:
    said: Counter[str] = Counter()
    seconds = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            status, reason, took = judged(Path(scratch), more, seed)
            seconds = max(seconds, took)
            broken = status is Status.INCONCLUSIVE and "two copies of the baseline differ" in reason
            said["control" if broken else status.name.lower()] += 1
    return said, seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", type=float, help="only these, and print; all are written down")
    asked = parser.parse_args().rows
    lines, missed = [], False
    for more, (count, target, word, share) in ROWS.items():
        if asked and more not in asked:
            continue
        said, seconds = row(more, count)
        met = said[word] >= share * count if share else said[word] == 0
        missed |= not met
        open_ = said["inconclusive"] + said["control"]
        lines.append(
            f"| {more * 100:+.0f} % | {count} | {said['pass']} | {said['fail']} | {open_} | {said['control']} "
            f"| {seconds:.0f} s | {target}: {'met' if met else 'MISSED'} |"
        )
        print(lines[-1], flush=True)
    heading = (
        "# Verdicts on energy, on a simulated counter\n\n"
        f"Written by benchmarks/energy_verdicts.py on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, "
        f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}. Limit +5 %, noise of a "
        f"window 1 %, seeds from {FIRST_SEED} on; nothing is left out.\n\n"
        "| truly | verdicts | pass | fail | inconclusive | of these, the control differs | longest trial | target |\n"
        "|--:|--:|--:|--:|--:|--:|--:|:--|\n"
    )
    if not asked:
        RESULTS.write_text(heading + "\n".join(lines) + "\n")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
