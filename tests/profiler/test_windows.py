from __future__ import annotations

import gc
import itertools

import pytest

from greengate.profile import WorkloadSpec
from greengate.profiler import windows
from greengate.profiler.jobs import EnergyJob
from greengate.profiler.pairing import RoleFailed

PATHS = {"baseline": "a", "candidate": "b", "control": "a"}


def job(seconds: float = 0.01, min_calls: int = 1, idle: float = 0.0) -> EnergyJob:
    return EnergyJob(PATHS, ("candidate", "baseline", "control"), WorkloadSpec(), 0, seconds, min_calls, idle)


def test_every_role_runs_in_turn_and_back_again() -> None:
    """What drifts in between adds the same to each role: that is why the second half runs backwards."""
    seen: list[str] = []
    calls = {role: (lambda _, role=role: seen.append(role)) for role in PATHS}
    found = windows.run(calls, 3, job())
    assert [one.role for one in found] == ["candidate", "baseline", "control", "control", "baseline", "candidate"]
    order = [role for before, role in zip(["", *seen], seen, strict=False) if role != before]
    # Each role was warm before the first window began; the control's two windows follow each other.
    assert order == ["candidate", "baseline", "control", "candidate", "baseline", "control", "baseline", "candidate"]


def test_a_window_is_as_long_and_as_full_as_asked() -> None:
    fed: list[int] = []
    found = windows.run(dict.fromkeys(PATHS, fed.append), 3, job(seconds=0.02, min_calls=7, idle=0.03))
    idle, *ran = found
    assert (idle.role, idle.calls) == ("idle", 0)
    assert idle.end - idle.start >= 0.03e9
    assert all(one.end - one.start >= 0.02e9 and one.calls >= 7 for one in ran)
    assert all(later.start >= earlier.end for earlier, later in itertools.pairwise(found))
    assert set(fed) == {0, 1, 2}, "every feed has its turn"


def test_few_calls_are_made_up_for_however_long_they_take() -> None:
    fed: list[int] = []
    found = windows.run(dict.fromkeys(PATHS, fed.append), 1, job(seconds=0.0, min_calls=5))
    assert {one.calls for one in found} == {5}
    assert len(fed) == 6 * 5 + 3, "what is told is what ran, and each was warm"


def test_a_call_may_come_to_several_inferences() -> None:
    """Each is told where its feeds begin; a window is full when enough inferences were made."""
    fed: list[int] = []
    found = windows.run(dict.fromkeys(PATHS, fed.append), 3, job(seconds=0.0, min_calls=5), of=4)
    assert {one.calls for one in found} == {8}
    assert fed == [*[0] * 3, *[0, 1] * 6], "the fifth inference is on the second feed"


def test_who_failed_is_named() -> None:
    def fails(_: int) -> None:
        raise ValueError("no")

    with pytest.raises(RoleFailed, match="the baseline failed: no"):
        windows.run({**dict.fromkeys(PATHS, lambda _: None), "baseline": fails}, 1, job())


def test_the_collector_runs_in_windows_as_it_does_where_a_model_serves() -> None:
    """Windows last for seconds, and garbage that nobody collects would fill the memory in them."""
    seen: set[bool] = set()
    windows.run(dict.fromkeys(PATHS, lambda _: seen.add(gc.isenabled())), 1, job())
    assert seen == {True}
