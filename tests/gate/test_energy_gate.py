"""The whole gate on energy: on a simulated counter many times over, and once on a real model and a real file tree."""

from __future__ import annotations

import datetime
import socket
import sys
from pathlib import Path

import pytest

from greengate import energy, gate, profile_file
from greengate.budget import WorkerLimits
from greengate.power import Domain, WindowRole
from greengate.profile import Launch, Measurement, Missing, Trial, WorkloadSpec
from greengate.profiler import metering
from greengate.profiler.backends import fake_meters, onnx
from greengate.profiler.backends.fake_meters import Draw, FakeBench
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import EnergyJob, Ran
from greengate.profiler.meters.bench import Energy, opened
from greengate.tasks.doctor import PROBE
from greengate.verdict import Status

NOW = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
BUDGET = """
version: 1
models: [{{name: net, path: net.fake.yaml{model}}}]
workload: {{seed: {seed}}}
rules: [{{metric: energy_per_1k, max_increase: 5%{more}}}]
"""
FAKE = "fake: 1\nlatency: {latency}\nenergy: {joules} J\ndram_energy: 0.1 J\nwindow_noise: {noise}\n{more}"


def checked(
    folder: Path,
    seed: int,
    factor: float,
    *,
    noise: str = "1%",
    more: str = "",
    rule: str = "",
    model: str = "",
    against: str = "file:baseline.fake.yaml",
) -> gate.Checked:
    """Judge a model that draws `factor` times what its baseline does; the files always differ in bytes."""
    for name, joules, note in (("baseline", 0.9, "old"), ("net", 0.9 * factor + 0.1 * (factor - 1), "new")):
        text = FAKE.format(latency="10 ms", joules=repr(joules), noise=noise, more=f"note: {note}\n{more}")
        (folder / f"{name}.fake.yaml").write_text(text)
    (folder / "budgets.yaml").write_text(BUDGET.format(seed=seed, more=rule, model=model))
    return gate.check(gate.Request(str(folder / "budgets.yaml"), against=against, environ={"CI": "true"}), NOW)


def statuses(folder: Path, rounds: int, factor: float, monkeypatch: pytest.MonkeyPatch) -> list[Status]:
    monkeypatch.chdir(folder)
    return [checked(folder, seed, factor).verdict.status for seed in range(100, 100 + rounds)]


def test_a_control_that_is_off_for_sure_decides_nothing_though_it_be_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One trial in a thousand finds its control off at 99.9 % by chance. Of the first fifty seeds one does."""
    monkeypatch.chdir(tmp_path)
    found = checked(tmp_path, 10, 1.08).verdict
    assert found.status is Status.INCONCLUSIVE
    assert "two copies of the baseline differ" in found.outcomes[0].reason


@pytest.mark.parametrize(("joules", "again"), [(1.0, False), (1.04, True)])
def test_energy_that_is_decided_is_not_metered_again_for_a_rule_that_is_open(
    joules: float, again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Minutes of metering are for rules on energy: a latency that is open is looked at longer by itself."""
    monkeypatch.chdir(tmp_path)
    found = checked(
        tmp_path, 7, joules, noise="2%", more="launch_noise: 5%", rule="}, {metric: latency_p50, max_increase: 4%"
    )
    (trial,) = found.measured.values()
    assert isinstance(trial, Trial)
    kinds = ["metered" if launch.windows else "timed" for launch in trial.launches]
    runs = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    assert runs == (["timed", "metered", "timed", "metered"] if again else ["timed", "metered", "timed"])
    (latency,) = [one.status for one in found.verdict.outcomes if one.rule == "latency_p50"]
    assert latency is Status.PASS


def test_eight_percent_more_joules_fail_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert statuses(tmp_path, 50, 1.08, monkeypatch) == [Status.FAIL] * 50


def test_ten_percent_more_joules_fail_nineteen_times_of_twenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of what benchmarks/energy_verdicts.py counts over two hundred, on seeds that it does not use."""
    monkeypatch.chdir(tmp_path)
    found = [checked(tmp_path, seed, 1.10).verdict.status for seed in range(500, 520)]
    assert found.count(Status.FAIL) >= 19
    assert Status.PASS not in found


def test_two_percent_more_joules_pass_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert statuses(tmp_path, 50, 1.02, monkeypatch) == [Status.PASS] * 50


def test_equal_models_never_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = statuses(tmp_path, 200, 1.0, monkeypatch)
    assert Status.FAIL not in found
    assert found.count(Status.PASS) >= 198


def test_a_board_s_comparison_fits_into_four_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the clock of the simulation: windows of five seconds, and a failure that is confirmed."""
    monkeypatch.chdir(tmp_path)
    found = checked(tmp_path, 1, 1.12, more="gpu_energy: 3 J\n", noise="0.5%", model=", device: cuda")
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    assert trial.seconds <= 240
    assert all(window.ns >= 5e9 for launch in trial.launches for window in launch.windows if window.items)
    assert found.verdict.status is Status.PASS, "the board draws the same, and it draws most"


def test_the_trial_file_holds_what_every_joule_was_computed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recomputed here by hand, as docs/formats.md says."""
    monkeypatch.chdir(tmp_path)
    measured = checked(tmp_path, 3, 1.0).measured["net"]
    assert isinstance(measured, Trial)
    again = profile_file.load(profile_file.dump_trial(measured), "trial.json")
    assert isinstance(again, Trial)
    assert again == measured
    per_launch = []
    for launch in again.launches:
        worth = {domain.id: domain.joules for domain in launch.domains}
        windows = [window for window in launch.windows if window.role == "candidate"]
        sums = [
            sum(worth[name] * read.counts / read.ns * window.ns for name, read in window.readings.items())
            / window.items
            for window in windows
        ]
        per_launch.append(1000 * sum(sums) / len(sums))
    found = measured.candidate.measurements["energy_per_1k"]
    assert isinstance(found, Measurement)
    assert found.value == pytest.approx(sum(per_launch) / len(per_launch), rel=1e-3)
    assert found.value == pytest.approx(1000, rel=0.02)


def test_windows_run_in_turn_and_back_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured = checked(tmp_path, 3, 1.0).measured["net"]
    assert isinstance(measured, Trial)
    first = set()
    for index, launch in enumerate(measured.launches):
        roles = [window.role for window in launch.windows]
        assert (roles[0] == "idle") == (index == 0)
        roles = roles[1:] if index == 0 else roles
        assert roles == roles[::-1]
        assert len(roles) == 6
        first.add(roles[0])
    assert len(first) > 1, "who begins is drawn by chance"


def test_nothing_is_launched_for_a_meter_that_is_too_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(draw: Draw, energy: Energy) -> FakeBench:
        del draw, energy
        return FakeBench((Domain("meter", "system", "metered", "a wall meter", 1e-6, tick=3.0),))

    monkeypatch.setattr(fake_meters, "bench", slow)
    monkeypatch.chdir(tmp_path)
    found = checked(tmp_path, 3, 1.0)
    assert found.verdict.status is Status.INCONCLUSIVE
    (outcome,) = found.verdict.outcomes
    assert "meter says something every 3 s, so that windows are 30 s: 3 launches take at least 608 s" in outcome.reason
    assert outcome.help.startswith("give --energy-seconds 1114, or let the meter write more lines a second")
    trial = found.measured["net"]
    assert isinstance(trial, Trial)
    assert not any(launch.windows for launch in trial.launches)


def test_idle_power_is_information(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = checked(tmp_path, 3, 1.0)
    (said,) = [note for note in found.verdict.case.models[0].notes if note.startswith("idle")]
    assert "powercap:package-0 10 W" in said
    measured = found.measured["net"]
    assert isinstance(measured, Trial)
    assert measured.candidate.power is not None
    assert measured.candidate.power.idle["powercap:package-0"] == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("", "meter: 'absent: permission denied'\n", "permission denied"),
        ("gpu_energy: 1 J\n", "", "nvml:GPU-fake that the baseline was metered with is not here any more"),
        ("", "meter: estimated\n", "powercap:package-0 was counter, is estimated"),
        ("", "", ""),
    ],
)
def test_a_counter_that_vanished_since_the_baseline_is_inconclusive_by_name(
    before: str, after: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checked(tmp_path, 0, 1.0, noise="0.1%", more=before)
    stored = gate.measure_all(gate.Request("budgets.yaml"), NOW)["net"]
    Path("stored.json").write_text(profile_file.dump_profile(stored))
    rule = ", allow_estimated: true"
    found = checked(tmp_path, 0, 1.0, noise="0.1%", more=after, rule=rule, against="profile:stored.json").verdict
    (outcome,) = found.outcomes
    assert why in outcome.reason
    assert outcome.status is (Status.INCONCLUSIVE if why else Status.PASS)


def test_no_energy_rule_means_no_metering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checked(tmp_path, 0, 1.0)
    text = Path("budgets.yaml").read_text().replace("energy_per_1k", "latency_p50")
    Path("budgets.yaml").write_text(text)
    found = gate.check(gate.Request("budgets.yaml", against="file:baseline.fake.yaml"), NOW)
    measured = found.measured["net"]
    assert isinstance(measured, Trial)
    assert not any(launch.windows for launch in measured.launches)
    missing = measured.candidate.measurements["energy_per_1k"]
    assert isinstance(missing, Missing)
    assert missing.kind == "skipped"


@pytest.mark.parametrize(("factor", "status"), [(1.0, Status.PASS), (1.12, Status.FAIL)])
def test_a_board_is_judged_by_itself_where_nothing_counts_the_processor(
    factor: float, status: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on most machines with a board that are rented: virtual ones have no counter of the processor's energy."""
    monkeypatch.chdir(tmp_path)
    for name, joules in (("baseline", 3.0), ("net", 3.0 * factor)):
        text = f"fake: 1\nlatency: 10 ms\ngpu_energy: {joules!r} J\nwindow_noise: 0.5%\nnote: {name}\n"
        (tmp_path / f"{name}.fake.yaml").write_text(text)
    rules = "[{metric: gpu_energy_per_1k, max_increase: 5%}, {metric: energy_per_1k, max_increase: 5%}]"
    (tmp_path / "budgets.yaml").write_text(
        f"version: 1\nmodels: [{{name: net, path: net.fake.yaml, device: cuda}}]\nrules: {rules}\n"
    )
    request = gate.Request("budgets.yaml", against="file:baseline.fake.yaml", environ={"CI": "true"})
    found = gate.check(request, NOW)
    own, whole = found.verdict.outcomes
    assert own.status is status
    assert whole.status is Status.INCONCLUSIVE, "the processor's part is never left out of a sum"
    assert "no counter of the processor's energy can be read here" in whole.reason
    measured = found.measured["net"]
    assert isinstance(measured, Trial)
    assert measured.seconds <= 240


# --- for real -----------------------------------------------------------------------------------


def test_a_real_model_on_a_tree_of_known_watts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX in a worker, powercap files written by a thread: joules are watts x time, in short windows."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "profiler" / "meters"))
    import fakes

    tree = fakes.Tree(tmp_path, fakes.SERVER)
    monkeypatch.setenv("GREENGATE_POWERCAP", str(tmp_path))
    monkeypatch.setattr(metering, "LEAST", dict.fromkeys(metering.LEAST, 0.4))
    monkeypatch.setattr(metering, "IDLE", 0.2)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", forbidden)
    thread = tree.run({"intel-rapl:0": 60.0, "intel-rapl:0:1": 8.0})
    spec = WorkloadSpec()
    subject = Subject("probe", str(PROBE), "probe.onnx", spec)

    def run(job: EnergyJob) -> Ran:
        return onnx.run(job, WorkerLimits())

    def near(launch: Launch, role: WindowRole) -> bool:
        windows = [window for window in launch.windows if window.role == role]
        truth = [1000 * 68.0 * window.ns * 1e-9 / window.items for window in windows]
        return list(energy.per_thousand(launch, role, "energy_per_1k")) == pytest.approx(truth, rel=0.03)

    try:
        with opened(Energy()) as bench:
            for _ in range(3):  # where the machine is busy the writer is held up, and the meter says so
                launch, said = metering.meter(run, bench, {"baseline": subject, "candidate": subject}, 0, together=True)
                idle = energy.idle_watts([launch])
                still = idle["powercap:package-0"] == pytest.approx(60.0, rel=0.01)
                if not launch.faults and still and near(launch, "baseline") and near(launch, "candidate"):
                    break
    finally:
        tree.stop()
        thread.join()
    assert launch.devices == ("cpu",)
    assert launch.faults == {}, said
    assert launch.windows[0].role == "idle"
    for role in ("baseline", "candidate"):
        windows = [window for window in launch.windows if window.role == role]
        found = energy.per_thousand(launch, role, "energy_per_1k")
        for window, joules in zip(windows, found, strict=True):
            assert joules == pytest.approx(1000 * 68.0 * window.ns * 1e-9 / window.items, rel=0.03)
            assert window.items > 10
            assert window.ns >= 0.4e9
    assert idle["powercap:package-0"] == pytest.approx(60.0, rel=0.01)
