from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from fake_pairs import LIMITS, STEADY, run, subject
from nouns import WORKLOAD

from greengate import estimate, stats
from greengate.budget import WorkerLimits
from greengate.comparison import Change
from greengate.errors import ModelError, Span
from greengate.profile import Measurement, Missing, WorkloadSpec
from greengate.profiler import exact, looks, trial
from greengate.profiler.backends import FORMATS, fake, format_of
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import Refused
from greengate.profiler.stopping import LOOKS
from greengate.profiler.trial import Effort, Step


def test_counting_gives_exact_metrics_and_says_that_noisy_ones_are_missing(tmp_path: Path) -> None:
    found = exact.count(subject(tmp_path, "a", "size: 2 kB\nparams: 1 M\nmacs: 3 GMAC"), LIMITS, "now")
    values = {name: one.value for name, one in found.measurements.items() if isinstance(one, Measurement)}
    assert values == {"size": 2000, "params": 1e6, "macs": 3e9, "flops": 6e9}
    assert isinstance(found.measurements["latency_p50"], Missing)
    assert found.model.digest.startswith("sha256:")
    assert found.created == "now"


def test_batch_size_and_seed_are_part_of_the_feed(tmp_path: Path) -> None:
    feeds = {
        exact.count(subject(tmp_path, "a", "size: 1 B", **spec), LIMITS, "now").workload.feed
        for spec in ({}, {"batch_size": 2}, {"seed": 1})
    }
    assert len(feeds) == 3


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.08])
def test_a_trial_finds_the_change_that_is_written_down(tmp_path: Path, ratio: float) -> None:
    noise = "noise: 3%\nlaunch_noise: 0.5%"
    made = run(
        subject(tmp_path, "a", f"latency: 10 ms\n{noise}"),
        subject(tmp_path, "b", f"latency: {10 * ratio} ms\n{noise}"),
        Effort(STEADY),
    )
    found = estimate.change(made.launches, "latency_p50", WORKLOAD)
    assert not isinstance(found, Missing)
    assert found.low - 0.01 < ratio - 1 < found.high + 0.01
    assert made.ended_by == "precision"
    assert len(made.launches) >= LOOKS[0]


def test_a_trial_repeats_exactly(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "noise: 5%\nlaunch_noise: 2%"), subject(tmp_path, "b", "noise: 5%")
    first, second = (run(*both, Effort(STEADY)) for _ in range(2))
    assert first.launches == second.launches


def test_noise_between_launches_takes_more_of_them(tmp_path: Path) -> None:
    quiet = run(subject(tmp_path, "a", "launch_noise: 0.1%"), subject(tmp_path, "b", "size: 1 B"), Effort(STEADY))
    loud = run(subject(tmp_path, "c", "launch_noise: 4%"), subject(tmp_path, "d", "size: 1 B"), Effort(STEADY))
    assert len(loud.launches) > len(quiet.launches)
    found = estimate.log_ratio(loud.launches, "latency_p50")
    assert isinstance(found, stats.Estimate)
    assert found.half_width <= 0.02 or loud.ended_by == "time"


def test_time_ends_a_trial_that_cannot_become_precise(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "launch_noise: 30%"), subject(tmp_path, "b", "launch_noise: 30%")
    made = run(*both, Effort(STEADY, max_seconds=20))
    assert made.ended_by == "time"
    assert made.seconds <= 20


def test_stopping_looks_at_precision_and_never_at_the_change(tmp_path: Path) -> None:
    def launches(latency: str) -> int:
        noise = "noise: 3%\nlaunch_noise: 2%"
        before = subject(tmp_path, "a", f"latency: 10 ms\n{noise}")
        return len(run(before, subject(tmp_path, "b", f"latency: {latency}\n{noise}"), Effort(STEADY)).launches)

    # The same noise on another change: the same number of launches, whatever side of a limit it is on.
    assert launches("10 ms") == launches("10.4 ms") == launches("10.6 ms")


def test_too_little_time_for_three_launches_is_said(tmp_path: Path) -> None:
    made = run(
        subject(tmp_path, "a", "latency: 2 s"), subject(tmp_path, "b", "latency: 2 s"), Effort(STEADY, max_seconds=30)
    )
    missing = made.candidate.measurements["latency_p50"]
    assert isinstance(missing, Missing)
    assert missing.kind == "unsettled"
    assert made.ended_by == "time"


def test_p99_gets_its_thousand_calls(tmp_path: Path) -> None:
    made = run(
        subject(tmp_path, "a", "latency: 1 ms"), subject(tmp_path, "b", "latency: 1 ms"), Effort({"latency_p99": 0.05})
    )
    assert isinstance(made.candidate.measurements["latency_p99"], Measurement)


@pytest.mark.parametrize(("metric", "calls"), [("latency_p50", 10), ("latency_p95", 20), ("latency_p99", 167)])
def test_a_launch_makes_as_many_calls_as_its_percentile_needs(metric: str, calls: int, tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "latency: 300 ms"), subject(tmp_path, "b", "latency: 300 ms")
    made = run(*both, Effort({metric: 0.05}, 600))
    assert {len(launch.samples["candidate"]["wall"]) for launch in made.launches} == {calls}


def test_only_what_is_asked_for_is_run(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "size: 1 B"), subject(tmp_path, "b", "size: 1 B")
    memory = run(*both, Effort({"peak_memory": 0.05}))
    assert all(set(launch.samples["candidate"]) == {"load", "peak"} for launch in memory.launches)
    latency = run(*both, Effort(STEADY))
    assert all(set(launch.samples["candidate"]) == {"wall", "cpu"} for launch in latency.launches)
    nothing = run(*both, Effort({}))
    assert (nothing.launches, nothing.ended_by) == ((), "none")


def test_models_are_loaded_in_every_order(tmp_path: Path) -> None:
    both = subject(tmp_path, "a", "launch_noise: 8%"), subject(tmp_path, "b", "launch_noise: 8%")
    assert len({launch.order for launch in run(*both, Effort(STEADY, 100)).launches}) == 6


@pytest.mark.parametrize("broken", ["baseline", "candidate", "both"])
def test_a_worker_that_breaks_while_counting_leaves_reasons_not_numbers(tmp_path: Path, broken: str) -> None:
    bad = "breaks: 'count: it was killed by SIGSEGV'"
    before = subject(tmp_path, "a", bad if broken in ("baseline", "both") else "size: 1 B")
    after = subject(tmp_path, "b", bad if broken in ("candidate", "both") else "size: 1 B")
    made = run(before, after, Effort(STEADY))
    for role, found in (("baseline", made.baseline), ("candidate", made.candidate)):
        one = found.measurements["latency_p50"]
        if broken in (role, "both"):
            assert isinstance(one, Missing)
            assert one == Missing("it was killed by SIGSEGV", "failed", "this model breaks on purpose")
        elif role == "candidate":
            assert isinstance(one, Measurement)
        else:
            assert one == Missing("the candidate gives nothing to time it beside", "incomparable")
    assert (made.ended_by == "none") == (broken != "baseline")
    assert isinstance(estimate.change(made.launches, "latency_p50", WORKLOAD), Missing)


@pytest.mark.parametrize("still", ["baseline", "candidate", "both"])
def test_a_model_that_cannot_run_here_is_not_tried(tmp_path: Path, still: str) -> None:
    """A launch of it would break: `cannot_run` models are counted and never run."""
    cannot = "macs: 5 MAC\ncannot_run: it has no kernel\nbreaks: 'launch: it was run all the same'"
    before = subject(tmp_path, "a", cannot if still in ("baseline", "both") else "macs: 4 MAC")
    after = subject(tmp_path, "b", cannot if still in ("candidate", "both") else "macs: 4 MAC")
    made = run(before, after, Effort(STEADY))
    for role, found in (("baseline", made.baseline), ("candidate", made.candidate)):
        latency, macs = found.measurements["latency_p50"], found.measurements["macs"]
        assert isinstance(macs, Measurement)
        assert macs.method == ("static" if still in (role, "both") else "declared")
        if still in (role, "both"):
            reason = "the model cannot run here: it has no kernel"
            assert latency == Missing(reason, "failed", "install another runtime")
            assert found.measurements["activation_memory"] == latency
    assert isinstance(made.candidate.measurements["latency_p50"], Missing) == (still != "baseline")
    assert bool(made.launches) == (still == "baseline")
    if still == "baseline":
        again = looks.confirm(made, {"baseline": before, "candidate": after}, Effort(STEADY), WorkerLimits())
        assert len(again.launches) == 2 * len(made.launches)
        assert again.baseline == made.baseline
        assert all(set(launch.samples) == {"candidate"} for launch in again.launches)


def test_a_worker_that_breaks_while_timing_ends_the_trial(tmp_path: Path) -> None:
    after = subject(tmp_path, "b", "size: 9 B\nbreaks: 'launch: it ran out of memory'")
    made = run(subject(tmp_path, "a", "size: 1 B"), after, Effort(STEADY))
    assert made.ended_by == "failure"
    assert made.candidate.measurements["latency_p50"] == Missing(
        "it ran out of memory", "failed", "this model breaks on purpose"
    )
    assert isinstance(made.candidate.measurements["size"], Measurement)  # what was counted stays


@pytest.mark.parametrize("role", ["baseline", "candidate"])
@pytest.mark.parametrize("begin", [2, 4, 6])
def test_a_worker_that_breaks_in_the_middle_leaves_a_reason_however_much_was_measured(
    begin: int, role: str, tmp_path: Path
) -> None:
    bad = f"breaks: 'launch from {begin}: it was killed by SIGSEGV'"
    both = (subject(tmp_path, name, bad if name == role else "size: 1 B") for name in ("baseline", "candidate"))
    made = run(*both, Effort({**STEADY, "energy_per_1k": 0.02}))
    assert (made.ended_by, len(made.launches)) == ("failure", begin - 1)
    broken = Missing("it was killed by SIGSEGV", "failed", "this model breaks on purpose")
    for found in (made.baseline, made.candidate):
        assert found.measurements["latency_p50"] == found.measurements["energy_per_1k"] == broken


def test_a_refusal_is_an_error_at_the_users_line(tmp_path: Path) -> None:
    bad = subject(tmp_path, "a", "refuses: 'input-open: input x leaves a dimension open'")
    with pytest.raises(ModelError) as caught:
        exact.count(bad, LIMITS, "now")
    (first,) = caught.value.diagnostics
    assert (first.code, first.span) == ("input-open", Span("budgets.yaml", 3))


def test_one_model_alone(tmp_path: Path) -> None:
    one = subject(tmp_path, "a", "latency: 5 ms\nnoise: 1%")
    found, seconds = trial.profile(one, exact.count(one, LIMITS, "now"), Effort(STEADY), LIMITS)
    assert seconds > 0
    latency = found.measurements["latency_p50"]
    assert isinstance(latency, Measurement)
    assert latency.value == pytest.approx(0.005, rel=0.02)
    assert latency.interval is not None


def test_every_launch_holds_the_baseline_twice(tmp_path: Path) -> None:
    noise = "noise: 2%\nlaunch_noise: 0.5%"
    made = run(subject(tmp_path, "a", noise), subject(tmp_path, "b", f"latency: 12 ms\n{noise}"), Effort(STEADY))
    assert all(set(launch.samples) == {"baseline", "candidate", "control"} for launch in made.launches)
    found = estimate.noise(made.launches, "latency_p50")
    assert found is not None
    assert not found.broken
    assert found.low < 0 < found.high
    assert found.floor < 0.02


def test_the_control_must_be_as_precise_as_the_change(tmp_path: Path) -> None:
    quiet = run(subject(tmp_path, "a", "size: 1 B"), subject(tmp_path, "b", "size: 1 B"), Effort(STEADY))
    # Only the baseline is loud: the change and the control both suffer from it.
    loud = run(subject(tmp_path, "c", "launch_noise: 3%"), subject(tmp_path, "d", "size: 1 B"), Effort(STEADY))
    assert len(loud.launches) > len(quiet.launches) == LOOKS[0]


def test_models_that_do_not_fit_together_run_apart_and_it_is_said(tmp_path: Path) -> None:
    noise = "noise: 3%\nlaunch_noise: 0.5%"
    before = subject(tmp_path, "a", f"{noise}\nbreaks: 'together: the worker ran out of memory'")
    made = run(before, subject(tmp_path, "b", f"latency: 12 ms\n{noise}"), Effort(STEADY))
    assert not any(launch.together for launch in made.launches)
    assert any("did not fit into memory together" in note for note in made.notes)
    found = estimate.change(made.launches, "latency_p50", WORKLOAD)
    assert isinstance(found, Change)
    assert found.low < 0.2 < found.high


def test_what_does_not_fit_alone_is_a_failure(tmp_path: Path) -> None:
    before = subject(tmp_path, "a", "breaks: 'launch: the worker ran out of memory'")
    made = run(before, subject(tmp_path, "b", "size: 1 B"), Effort(STEADY))
    assert made.ended_by == "failure"
    assert isinstance(made.candidate.measurements["latency_p50"], Missing)


def test_too_short_a_time_says_how_long_it_takes(tmp_path: Path) -> None:
    slow = subject(tmp_path, "a", "latency: 2 s"), subject(tmp_path, "b", "latency: 2 s")
    missing = run(*slow, Effort(STEADY, max_seconds=30)).candidate.measurements["latency_p50"]
    assert isinstance(missing, Missing)
    asked = re.fullmatch(r"give it about (\d+) s with --max-seconds", missing.help)
    assert asked is not None
    enough = run(*slow, Effort(STEADY, max_seconds=float(asked[1]))).candidate.measurements["latency_p50"]
    assert isinstance(enough, Measurement)


def test_different_inputs_are_said(tmp_path: Path) -> None:
    made = run(subject(tmp_path, "a", "input: [1, 4]"), subject(tmp_path, "b", "input: [1, 8]"), Effort({}))
    assert made.notes == ("the models take different inputs: baseline x float32[1, 4]; candidate x float32[1, 8]",)


def test_progress_tells_what_is_left(tmp_path: Path) -> None:
    steps: list[Step] = []
    both = subject(tmp_path, "a", "size: 1 B"), subject(tmp_path, "b", "size: 1 B")
    counted = {role: exact.count(one, LIMITS, "") for role, one in zip(("baseline", "candidate"), both, strict=True)}
    pair = dict(zip(("baseline", "candidate"), both, strict=True))
    trial.trial(pair, counted, Effort(STEADY, 60), LIMITS, steps.append)  # type: ignore[arg-type]
    assert [step.doing for step in steps] == [f"launch {n + 1}" for n in range(len(steps))]
    assert all(math.isclose(step.spent + step.left, 60 * estimate.FIRST_SHARE) for step in steps)
    assert steps[0].spent == 0


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_table_has_a_backend(name: str) -> None:
    backend = FORMATS[name].load()
    assert callable(backend.run)
    assert backend.clock() <= backend.clock()
    assert backend.hardware().id


@pytest.mark.parametrize("path", ["model.h5", "model", "onnx", "model.yaml"])
def test_a_file_that_no_backend_reads(path: str) -> None:
    with pytest.raises(Refused) as caught:
        format_of(path)
    assert caught.value.code == "model-format"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size: 1 B", "does not begin with"),
        ("fake: 1\nsizes: 1 B", "unknown key 'sizes'"),
        ("fake: 1\nsize: 1 parsec", "not a unit of memory"),
        ("fake: [", "not closed"),
    ],
)
def test_a_fake_is_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.fake.yaml"
    path.write_text(text)
    with pytest.raises(ModelError, match=words):
        exact.count(Subject("m", str(path), "a", WorkloadSpec()), LIMITS, "")


def test_the_fakes_clock_moves_by_its_own_account(tmp_path: Path) -> None:
    before = fake.clock()
    exact.count(subject(tmp_path, "a", "size: 1 B"), LIMITS, "")
    assert fake.clock() - before == pytest.approx(fake.STARTING)
