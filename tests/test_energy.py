"""From raw windows to joules; and every rule about what a metric is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import WORKLOAD

from greengate import energy, estimate
from greengate.metrics import METRICS
from greengate.power import Domain, EnergyMethod, Reading, Window, WindowRole
from greengate.profile import Launch, Measurement, Missing

PACKAGE = Domain("powercap:package-0", "cpu", "counter", "package", 1e-6, tick=0.001)
SECOND = replace(PACKAGE, id="powercap:package-1")
DRAM = Domain("powercap:dram-0", "dram", "counter", "memory", 1e-6)
BOARD = Domain("nvml:GPU-a", "gpu", "counter", "board", 1e-3, tick=0.1)
OTHER = replace(BOARD, id="nvml:GPU-b")
AMD = replace(BOARD, id="amd:d1ff74a1-0000-1000-80b1-3f2a9c7e1d2b")
WALL = Domain("meter", "system", "metered", "wall", 1e-6)
MODEL = Domain("cpu-time", "cpu", "estimated", "processor time x 4 W", 0.04)

#: Watts that each domain draws, in every window.
WATTS = {
    PACKAGE.id: 40.0,
    SECOND.id: 30.0,
    DRAM.id: 5.0,
    BOARD.id: 200.0,
    OTHER.id: 100.0,
    "amd:x": 300.0,
    AMD.id: 300.0,
    WALL.id: 400.0,
    MODEL.id: 4.0,
}


def window(role: WindowRole, domains: tuple[Domain, ...], items: int = 100, factor: float = 1.0) -> Window:
    """Two seconds, read from 0.05 s after the begin to 0.05 s before the end."""
    readings = {one.id: Reading(round(WATTS[one.id] * factor * 1.9 / one.joules), 1_900_000_000, 19) for one in domains}
    return Window(role, 2_000_000_000, items, readings)


def launch(
    *domains: Domain,
    devices: tuple[str, ...] = ("cpu",),
    faults: Mapping[str, str] | None = None,
    factor: float = 1.0,
    seed: int = 0,
) -> Launch:
    roles: tuple[WindowRole, ...] = ("baseline", "candidate", "control", "control", "candidate", "baseline")
    windows = [window("idle", domains, 0, 0.25)]
    windows += [window(role, domains, factor=factor if role == "candidate" else 1.0) for role in roles]
    return Launch(
        seed,
        ("baseline", "candidate", "control"),
        {},
        12.0,
        windows=tuple(windows),
        domains=domains,
        devices=devices,
        faults=faults or {},
        took=15.0,
    )


def joules(one: Launch, metric: str) -> float | None:
    found = energy.per_thousand(one, "candidate", metric)
    return sum(found) / len(found) if found else None


def per_thousand(*domains: Domain) -> float:
    """What 1,000 items cost: 100 items take two seconds."""
    return 20 * sum(WATTS[one.id] for one in domains)


@pytest.mark.parametrize(
    ("there", "devices", "made_of"),
    [
        ((PACKAGE,), ("cpu",), (PACKAGE,)),
        ((PACKAGE, DRAM), ("cpu",), (PACKAGE, DRAM)),
        ((PACKAGE, SECOND, DRAM), ("cpu",), (PACKAGE, SECOND, DRAM)),
        ((PACKAGE, BOARD), ("cpu",), (PACKAGE,)),  # a board that no model ran on
        ((PACKAGE, DRAM, BOARD), ("cpu", "GPU-a"), (PACKAGE, DRAM, BOARD)),
        ((PACKAGE, BOARD, OTHER), ("cpu", "GPU-b"), (PACKAGE, OTHER)),
        ((PACKAGE, BOARD), ("cpu", "GPU-a", "GPU-b"), ()),  # a device that nothing counts
        ((PACKAGE,), ("cpu", "GPU-a"), ()),
        ((DRAM,), ("cpu",), ()),
        ((BOARD,), ("GPU-a",), ()),  # the processor is always in it
        ((WALL, PACKAGE, BOARD), ("cpu", "GPU-a"), (WALL,)),  # a meter of everything is not added to its parts
        ((MODEL,), ("cpu",), (MODEL,)),
    ],
)
def test_energy_is_everything_the_model_ran_on_or_nothing(
    there: tuple[Domain, ...], devices: tuple[str, ...], made_of: tuple[Domain, ...]
) -> None:
    found = joules(launch(*there, devices=devices), "energy_per_1k")
    assert found == (pytest.approx(per_thousand(*made_of)) if made_of else None)


@pytest.mark.parametrize("device", ["", "a", "-a", "GPU-", "PU-a"])
def test_a_board_is_known_by_its_whole_name(device: str) -> None:
    """One that does not tell its name is not every board, nor is one whose name ends alike."""
    one = launch(PACKAGE, BOARD, OTHER, replace(BOARD, id="amd:x"), devices=("cpu", device))
    for metric in ("energy_per_1k", "gpu_energy_per_1k"):
        assert joules(one, metric) is None
        why = energy.why_not([one], metric)
        assert why == (
            "no counter covers every device the models ran on"
            if device
            else "the board that the models ran on does not tell its UUID: which counter is its own is not known"
        )


@pytest.mark.parametrize(
    "device",
    [
        "GPU-d1b13f2a9c7e1d2b",  # as rocminfo shows it
        "GPU-64316231-3366-3261-3963-376531643262",  # as PyTorch does: the same in ASCII
        "GPU-d1ff74a1-0000-1000-80b1-3f2a9c7e1d2b",  # as amdsmi does
        "GPU-d10074a1-0000-1000-80b1-3f2a9c7e1d2b",  # and of its first partition
    ],
)
def test_a_board_of_amd_is_known_by_all_its_names(device: str) -> None:
    other = replace(AMD, id="amd:x")
    one = launch(PACKAGE, AMD, other, devices=("cpu", device))
    assert energy.parts(one, "energy_per_1k") == (PACKAGE, AMD)
    assert energy.parts(launch(PACKAGE, other, devices=("cpu", device)), "energy_per_1k") == ()


def test_processor_and_boards_are_told_apart() -> None:
    both = launch(PACKAGE, DRAM, BOARD, OTHER, devices=("cpu", "GPU-a"))
    assert joules(both, "cpu_energy_per_1k") == pytest.approx(per_thousand(PACKAGE, DRAM))
    assert joules(both, "gpu_energy_per_1k") == pytest.approx(per_thousand(BOARD))
    assert joules(launch(PACKAGE), "gpu_energy_per_1k") is None
    assert "no GPU took part" in energy.why_not([launch(PACKAGE)], "gpu_energy_per_1k")


def test_a_fault_of_a_part_is_a_gap_of_the_whole() -> None:
    """Never a smaller sum: a package or memory that cannot be read was drawing all the same."""
    for faulty in (PACKAGE, SECOND, DRAM):
        one = launch(PACKAGE, SECOND, DRAM, faults={faulty.id: f"{faulty.id} ran backwards"})
        assert joules(one, "energy_per_1k") is None
        assert energy.why_not([one], "energy_per_1k") == f"{faulty.id} ran backwards"
    beside = launch(PACKAGE, BOARD, faults={BOARD.id: "heat"})
    assert joules(beside, "energy_per_1k") == pytest.approx(per_thousand(PACKAGE)), "no model ran on that board"


@pytest.mark.parametrize("gone", ["package-1", "dram-1"])
def test_a_part_of_the_processor_that_was_never_read_is_a_gap_too(gone: str) -> None:
    """It is no domain of the launch, for it could not be found or calibrated; it drew all the same."""
    one = launch(PACKAGE, BOARD, devices=("cpu", "GPU-a"), faults={gone: f"{gone}: it cannot be read"})
    for metric in ("energy_per_1k", "cpu_energy_per_1k"):
        assert joules(one, metric) is None
        assert energy.why_not([one], metric) == f"{gone}: it cannot be read"
    assert joules(one, "gpu_energy_per_1k") == pytest.approx(per_thousand(BOARD)), "a board is counted by itself"
    assert joules(launch(WALL, PACKAGE, faults={gone: "shut"}), "energy_per_1k") == pytest.approx(per_thousand(WALL))


@pytest.mark.parametrize("there", [(WALL, PACKAGE, BOARD), (PACKAGE, BOARD)])
def test_nothing_stands_for_an_external_meter_that_fails(there: tuple[Domain, ...]) -> None:
    """Neither in one launch nor from the beginning: the processor's counters are another energy."""
    one = launch(*there, devices=("cpu", "GPU-a"), faults={WALL.id: "its clock went back"})
    assert joules(one, "energy_per_1k") is None
    assert energy.why_not([one], "energy_per_1k") == "its clock went back"
    assert joules(one, "cpu_energy_per_1k") == pytest.approx(per_thousand(PACKAGE))
    assert joules(one, "gpu_energy_per_1k") == pytest.approx(per_thousand(BOARD))


def test_a_gap_is_told_by_what_would_have_been_part_of_it() -> None:
    one = launch(PACKAGE, faults={"meter": "the log ended", PACKAGE.id: "it ran backwards"})
    assert energy.why_not([one], "cpu_energy_per_1k") == "it ran backwards"


def test_one_trial_never_mixes_an_external_meter_and_counters() -> None:
    whole = launch(WALL, PACKAGE)
    failed = [launch(WALL, PACKAGE, faults={WALL.id: "its clock went back"}, seed=seed) for seed in (1, 2, 3)]
    assert estimate.series_of(whole, "candidate", "energy_per_1k")
    assert [estimate.series_of(one, "candidate", "energy_per_1k") for one in failed] == [None] * 3
    assert isinstance(estimate.measure([whole, *failed], "candidate", "energy_per_1k", 1), Missing)


def test_a_window_without_a_reading_is_a_gap() -> None:
    one = launch(PACKAGE, DRAM)
    broken = [replace(each, readings={PACKAGE.id: each.readings[PACKAGE.id]}) for each in one.windows]
    assert joules(replace(one, windows=tuple(broken)), "energy_per_1k") is None


@given(st.floats(0.2, 5), st.integers(1, 10**6))
def test_joules_follow_power_and_items(factor: float, items: int) -> None:
    one = launch(PACKAGE, factor=factor)
    scaled = replace(one, windows=tuple(replace(each, items=items) for each in one.windows))
    found = joules(scaled, "energy_per_1k")
    assert found == pytest.approx(1000 * 40 * factor * 2 / items, rel=1e-6)


def test_idle_watts_are_told_and_never_subtracted() -> None:
    made = [launch(PACKAGE, DRAM)]
    assert energy.idle_watts(made) == pytest.approx({PACKAGE.id: 10.0, DRAM.id: 1.25})
    assert joules(made[0], "energy_per_1k") == pytest.approx(per_thousand(PACKAGE, DRAM))


@pytest.mark.parametrize(
    ("methods", "weakest"),
    [
        (("counter", "counter"), "counter"),
        (("counter", "integrated"), "integrated"),
        (("estimated", "integrated"), "estimated"),
        (("metered", "counter"), "counter"),
    ],
)
def test_a_sum_is_as_good_as_its_weakest_part(
    methods: tuple[EnergyMethod, EnergyMethod], weakest: EnergyMethod
) -> None:
    one = launch(replace(PACKAGE, method=methods[0]), replace(DRAM, method=methods[1]))
    assert energy.method([one], "energy_per_1k") == weakest


def test_every_energy_metric_is_in_the_table() -> None:
    assert set(energy.METRICS) == {
        name for name, row in METRICS.items() if row.dimension == "energy" and row.kind == "noisy"
    }
    assert set(energy.METRICS) == estimate.METERED


# --- across launches ----------------------------------------------------------------------------


def trial(factors: tuple[float, ...], *domains: Domain) -> list[Launch]:
    return [launch(*domains, factor=factor, seed=seed) for seed, factor in enumerate(factors)]


def test_a_change_is_the_mean_of_the_launches_ratios() -> None:
    found = estimate.change(trial((1.04, 1.05, 1.06, 1.05), PACKAGE, DRAM), "energy_per_1k", WORKLOAD)
    assert not isinstance(found, Missing)
    assert found.value == pytest.approx(math.exp(sum(map(math.log, (1.04, 1.05, 1.06, 1.05))) / 4) - 1, rel=1e-5)
    assert found.low < 0.04
    assert found.high > 0.06
    assert found.basis == "paired"
    assert found.seconds == 60.0
    assert found.noise is not None
    assert found.noise.floor == pytest.approx(0, abs=1e-6)


def test_the_measurement_says_what_it_is_made_of() -> None:
    found = estimate.measure(trial((1.0, 1.001, 1.002), PACKAGE, DRAM), "candidate", "energy_per_1k", 1)
    assert isinstance(found, Measurement)
    assert found.method == "counter"
    assert found.detail == "3 launches x 2 windows: powercap:package-0 + powercap:dram-0"
    assert found.samples == 6
    model = estimate.measure(trial((1.0, 1.001, 1.002), MODEL), "candidate", "energy_per_1k", 1)
    assert isinstance(model, Measurement)
    assert model.method == "estimated"
    assert "processor time x 4 W" in model.detail


def test_a_drift_within_a_launch_cancels() -> None:
    """Watts rise by 2 % from window to window: in turn and back again, both roles see the same sum."""
    made = []
    for one in trial((1.0, 1.0, 1.0), PACKAGE):
        warmed = []
        for index, each in enumerate(one.windows):
            reading = each.readings[PACKAGE.id]
            more = replace(reading, counts=round(reading.counts * (1 + 0.02 * index)))
            warmed.append(replace(each, readings={PACKAGE.id: more}))
        made.append(replace(one, windows=tuple(warmed)))
    found = estimate.change(made, "energy_per_1k", WORKLOAD)
    assert not isinstance(found, Missing)
    assert found.value == pytest.approx(0, abs=1e-6)


def test_launches_that_timed_calls_are_none_that_metered() -> None:
    timed = Launch(9, ("baseline", "candidate"), {"baseline": {"wall": (5,)}, "candidate": {"wall": (5,)}}, 1.0)
    metered = trial((1.0, 1.01, 1.02), PACKAGE)
    both = [timed, *metered]
    assert estimate.change(both, "energy_per_1k", WORKLOAD) == estimate.change(metered, "energy_per_1k", WORKLOAD)
    assert estimate.of(both, "latency_p50") == [timed]


def test_one_launch_with_a_fault_is_left_out_and_too_few_are_a_gap() -> None:
    good = trial((1.0, 1.01, 1.02), PACKAGE)
    bad = launch(PACKAGE, faults={PACKAGE.id: "it ran backwards"}, factor=9.0)
    assert estimate.change([*good, bad], "energy_per_1k", WORKLOAD).value == pytest.approx(0.01, abs=1e-3)  # type: ignore[union-attr]
    few = estimate.change([*good[:2], bad], "energy_per_1k", WORKLOAD)
    assert isinstance(few, Missing)
    assert "--energy-seconds" in few.help
    none = estimate.measure([bad, bad, bad], "candidate", "energy_per_1k", 1)
    assert isinstance(none, Missing)
    assert "it ran backwards" in none.reason


def test_tokens_and_items_never_meet() -> None:
    """A launch with windows of both: each metric is made of its own."""
    one = launch(PACKAGE)
    texts = tuple(replace(each, tokens=64 * each.items) for each in one.windows if each.role != "idle")
    both = replace(one, windows=(*one.windows, *texts))
    assert joules(both, "energy_per_1k") == joules(one, "energy_per_1k") == pytest.approx(per_thousand(PACKAGE))
    assert joules(both, "energy_per_1k_tokens") == pytest.approx(per_thousand(PACKAGE) / 64)
    assert joules(one, "energy_per_1k_tokens") is None
    assert joules(replace(one, windows=texts), "energy_per_1k") is None
    wall = launch(WALL, PACKAGE)
    whole = replace(wall, windows=tuple(replace(each, tokens=each.items) for each in wall.windows))
    assert joules(whole, "energy_per_1k_tokens") == pytest.approx(per_thousand(WALL))
