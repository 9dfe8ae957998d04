"""What comes after a first look: a second one, or more of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_pairs import LIMITS, STEADY, run, subject
from nouns import WORKLOAD

from greengate import estimate, stats
from greengate.compare import compare_profiles, compare_trial, without_baseline
from greengate.comparison import Change
from greengate.gate.past import looked_at
from greengate.profile import Measurement, Missing
from greengate.profiler import exact, looks, trial
from greengate.profiler.exact import Subject
from greengate.profiler.stopping import LOOKS
from greengate.profiler.trial import Effort


def test_a_second_look_takes_as_many_fresh_launches(tmp_path: Path) -> None:
    before = subject(tmp_path, "a", "noise: 3%\nlaunch_noise: 0.5%")
    after = subject(tmp_path, "b", "latency: 11 ms\nnoise: 3%\nlaunch_noise: 0.5%")
    made = run(before, after, Effort({"latency_p50": 0.02, "peak_memory": 0.05}))
    roles = {"baseline": before, "candidate": after}
    again = looks.confirm(made, roles, Effort(STEADY), LIMITS)  # type: ignore[arg-type]
    first, both = again.looks
    assert (first, both) == (len(made.launches), 2 * len(made.launches))
    assert again.launches[:first] == made.launches
    assert len({launch.seed for launch in again.launches}) == both  # fresh ones, not the same again
    assert all("peak" not in launch.samples["candidate"] for launch in again.launches[first:])
    assert again.seconds > made.seconds
    compared = compare_trial(again)["latency_p50"]
    assert compared.first is not None
    assert isinstance(compared.first.change, Change)
    assert isinstance(compared.change, Change)
    assert (compared.first.change.launches, compared.change.launches) == (first, both)
    assert compare_trial(made)["latency_p50"].first is None


def test_a_stored_version_is_compared_with_both_looks(tmp_path: Path) -> None:
    """A drift is judged at each look: one that both looks share would confirm itself."""
    both = subject(tmp_path, "a", "launch_noise: 2%"), subject(tmp_path, "b", "launch_noise: 2%")
    made = run(*both, Effort(STEADY, 60))
    pair = dict(zip(("baseline", "candidate"), both, strict=True))
    again = looks.confirm(made, pair, Effort(STEADY, 60), LIMITS)  # type: ignore[arg-type]
    found = compare_profiles(made.baseline, looked_at(again))["latency_p50"]
    assert found.first is not None
    assert found.first.candidate == made.candidate.measurements["latency_p50"]
    assert found.first.candidate != found.candidate
    assert compare_profiles(made.baseline, looked_at(made))["latency_p50"].first is None


def test_a_second_look_keeps_to_the_same_time(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "launch_noise: 2%"), subject(tmp_path, "b", "latency: 30 ms\nlaunch_noise: 2%")
    for seconds in (16, 20, 40):
        made = run(*both, Effort(STEADY, seconds))
        pair = dict(zip(("baseline", "candidate"), both, strict=True))
        again = looks.confirm(made, pair, Effort(STEADY, seconds), LIMITS)  # type: ignore[arg-type]
        assert again.seconds <= seconds
        assert len(again.launches) > len(made.launches)


def test_the_fewest_launches_may_take_what_is_kept_for_a_second_look(tmp_path: Path) -> None:
    """Two launches cannot be judged: to keep time back for confirming what they say would be of no use."""
    both = subject(tmp_path, "a", "launch_noise: 2%"), subject(tmp_path, "b", "latency: 30 ms\nlaunch_noise: 2%")
    made = run(*both, Effort(STEADY, 12))
    assert len(made.launches) == stats.MIN_LAUNCHES
    assert 12 * estimate.FIRST_SHARE < made.seconds <= 12
    assert isinstance(estimate.change(made.launches, "latency_p50", WORKLOAD), Change)
    pair = dict(zip(("baseline", "candidate"), both, strict=True))
    assert looks.confirm(made, pair, Effort(STEADY, 12), LIMITS) == made  # type: ignore[arg-type]


def test_without_time_for_one_more_launch_there_is_no_second_look(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "size: 1 B"), subject(tmp_path, "b", "size: 1 B")
    made = run(*both, Effort(STEADY, 60))
    pair = dict(zip(("baseline", "candidate"), both, strict=True))
    assert looks.confirm(made, pair, Effort(STEADY, made.seconds + 0.1), LIMITS) == made  # type: ignore[arg-type]


def test_a_second_look_that_breaks_is_said(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "size: 1 B"), subject(tmp_path, "b", "size: 1 B")
    made = run(*both, Effort(STEADY, 60))
    pair = dict(zip(("baseline", "candidate"), both, strict=True))
    subject(tmp_path, "b", "size: 1 B\nbreaks: 'launch: it was killed by SIGSEGV'")
    again = looks.confirm(made, pair, Effort(STEADY, 60), LIMITS)  # type: ignore[arg-type]
    assert (again.looks, again.launches) == (made.looks, made.launches)
    assert "a worker broke when it was looked at again: it was killed by SIGSEGV" in again.notes
    assert compare_trial(again)["latency_p50"].first is None


def test_a_model_alone_is_looked_at_twice_too(tmp_path: Path) -> None:
    one = subject(tmp_path, "a", "latency: 5 ms\nnoise: 1%\nlaunch_noise: 1%")
    effort = Effort({"latency_p50": 0.02, "peak_memory": 0.05}, 60)
    made, spent = trial.profile(one, exact.count(one, LIMITS, "now"), effort, LIMITS)
    assert made.looks == (len(made.launches),)
    again, seconds = looks.confirm_alone(made, spent, one, Effort(STEADY, 60), LIMITS)
    first, both = again.looks
    assert (first, both, seconds > spent) == (len(made.launches), 2 * len(made.launches), True)
    assert again.launches[:first] == made.launches
    compared = without_baseline(again, Missing("no baseline", "incomparable"))
    # Anyone can find both looks again in the raw samples.
    assert compared["latency_p50"].candidate == estimate.measure(again.launches, "candidate", "latency_p50", 1)
    assert compared["latency_p50"].first is not None
    assert compared["latency_p50"].first.candidate == made.measurements["latency_p50"]
    assert compared["peak_memory"].first is None  # nobody asked for it again
    stored = compare_profiles(made, again)["latency_p50"]
    assert stored.first is not None
    assert stored.first.candidate == made.measurements["latency_p50"]
    assert without_baseline(made, Missing("no baseline", "incomparable"))["latency_p50"].first is None


def test_a_model_alone_that_breaks_at_the_second_look_keeps_its_first(tmp_path: Path) -> None:
    one = subject(tmp_path, "a", "latency: 5 ms")
    made, spent = trial.profile(one, exact.count(one, LIMITS, "now"), Effort(STEADY, 60), LIMITS)
    subject(tmp_path, "a", "latency: 5 ms\nbreaks: 'launch: it was killed by SIGSEGV'")
    again, seconds = looks.confirm_alone(made, spent, one, Effort(STEADY, 60), LIMITS)
    assert (again.looks, again.measurements, seconds) == (made.looks, made.measurements, spent)
    assert "a worker broke when it was looked at again: it was killed by SIGSEGV" in again.notes


# --- more of a first look -------------------------------------------------------------------------------------------


NOISY = "launch_noise: 4%"


def pair(folder: Path, candidate: str = NOISY) -> dict[Any, Subject]:
    return {"baseline": subject(folder, "a", NOISY), "candidate": subject(folder, "b", candidate)}


def test_more_of_a_first_look_is_one_longer_look(tmp_path: Path) -> None:
    both = pair(tmp_path)
    made = run(*both.values(), Effort(STEADY, 30))
    assert made.ended_by == "time"
    more = looks.go_on(made, both, Effort(STEADY, 30), LIMITS)
    assert more.launches[: len(made.launches)] == made.launches
    assert more.looks == (len(more.launches),) > made.looks
    assert 30 * estimate.FIRST_SHARE < more.seconds <= 30
    before, after = (estimate.log_ratio(one.launches, "latency_p50") for one in (made, more))
    assert isinstance(before, stats.Estimate)
    assert isinstance(after, stats.Estimate)
    assert after.launches > before.launches
    assert compare_trial(more)["latency_p50"].first is None
    seeds = [launch.seed for launch in more.launches]
    assert len(set(seeds)) == len(seeds), "fresh launches, not the same again"


def test_it_ends_when_it_is_precise(tmp_path: Path) -> None:
    both = pair(tmp_path)
    made = run(*both.values(), Effort(STEADY, 30))
    found = estimate.log_ratio(made.launches, "latency_p50")
    assert isinstance(found, stats.Estimate)
    need = {"latency_p50": 1.5 * found.half_width}
    assert looks.go_on(made, both, Effort(need, 600), LIMITS) is made
    more = looks.go_on(made, both, Effort(STEADY, 600), LIMITS)
    assert (more.ended_by, len(more.launches) in LOOKS) == ("precision", True)


def test_without_time_for_one_more_launch_it_stays_as_it_is(tmp_path: Path) -> None:
    both = pair(tmp_path)
    made = run(*both.values(), Effort(STEADY, 30))
    assert looks.go_on(made, both, Effort(STEADY, made.seconds + 0.1), LIMITS) is made


BROKEN = Missing("it was killed by SIGSEGV", "failed", "this model breaks on purpose")


@pytest.mark.parametrize("after", [0, 2])
def test_a_worker_that_breaks_there_leaves_nothing_of_what_was_asked_for(after: int, tmp_path: Path) -> None:
    """Not even where the launches before would do: a model that breaks now and then has no latency to be proud of."""
    both = pair(tmp_path)
    asked = Effort({**STEADY, "peak_memory": 0.5}, 30)
    made = run(*both.values(), asked)
    pair(tmp_path, f"{NOISY}\nbreaks: 'launch from {len(made.launches) + after + 1}: it was killed by SIGSEGV'")
    more = looks.go_on(made, both, Effort(STEADY, 60), LIMITS)
    assert (len(more.launches), more.ended_by) == (len(made.launches) + after, "failure")
    assert more.candidate.measurements["latency_p50"] == more.baseline.measurements["latency_p50"] == BROKEN
    assert compare_trial(more)["latency_p50"].change == BROKEN
    assert isinstance(more.candidate.measurements["peak_memory"], Measurement), "nobody asked for it again"
    assert "a worker broke when it was looked at again: it was killed by SIGSEGV" in more.notes


@pytest.mark.parametrize("after", [0, 2])
def test_a_model_alone_that_breaks_there_leaves_nothing_either(after: int, tmp_path: Path) -> None:
    one = subject(tmp_path, "a", NOISY)
    made, spent = trial.profile(one, exact.count(one, LIMITS, "now"), Effort(STEADY, 30), LIMITS)
    subject(tmp_path, "a", f"{NOISY}\nbreaks: 'launch from {len(made.launches) + after + 1}: it was killed by SIGSEGV'")
    more, _ = looks.go_on_alone(made, spent, one, Effort(STEADY, 60), LIMITS)
    assert more.measurements["latency_p50"] == BROKEN
    assert "a worker broke when it was looked at again: it was killed by SIGSEGV" in more.notes


def test_a_second_look_that_breaks_on_its_way_confirms_nothing(tmp_path: Path) -> None:
    both = pair(tmp_path, f"latency: 15 ms\n{NOISY}")
    made = run(*both.values(), Effort(STEADY, 60))
    pair(tmp_path, f"latency: 15 ms\n{NOISY}\nbreaks: 'launch from {len(made.launches) + 4}: it was killed by SIGSEGV'")
    again = looks.confirm(made, both, Effort(STEADY, 60), LIMITS)
    assert again.looks == (len(made.launches), len(made.launches) + 3)
    found = compare_trial(again)["latency_p50"]
    assert (found.change, found.candidate) == (BROKEN, BROKEN)
    assert found.first is not None
    assert isinstance(found.first.change, Change)


def test_going_on_keeps_to_its_share_of_the_time(tmp_path: Path) -> None:
    """What was kept back stays there, however few launches the share holds: there are enough of the first look."""
    both = pair(tmp_path)
    made = run(*both.values(), Effort({"latency_p50": 1.0}, 60))
    assert (made.ended_by, len(made.launches)) == ("precision", LOOKS[0])
    share = 1.3 * made.seconds / 60
    more = looks.go_on(made, both, Effort({"latency_p50": 0.0}, 60, part=share), LIMITS)
    assert made.seconds < more.seconds <= 1.3 * made.seconds
    assert more.ended_by == "time"


def test_a_model_alone_is_looked_at_longer_too(tmp_path: Path) -> None:
    one = subject(tmp_path, "a", NOISY)
    first, seconds = trial.profile(one, exact.count(one, LIMITS, "now"), Effort(STEADY, 30), LIMITS)
    more, spent = looks.go_on_alone(first, seconds, one, Effort(STEADY, 30), LIMITS)
    assert more.launches[: len(first.launches)] == first.launches
    assert more.looks == (len(more.launches),) > first.looks
    assert seconds < spent <= 30
    assert looks.go_on_alone(more, spent, one, Effort(STEADY, spent + 0.1), LIMITS) == (more, spent)
