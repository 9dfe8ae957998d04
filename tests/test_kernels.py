"""Which functions a change of instructions comes from."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import profile

from greengate.compare import compare_profiles
from greengate.comparison import Change
from greengate.differences import simulation_difference
from greengate.layers import attribute
from greengate.layers.kernels import MADE, MOST, called, contributions
from greengate.profile import Interval, Measurement, Missing, Profile
from greengate.report import where
from greengate.simulation import Kernel, Simulation

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10**9), max_size=8)
ORT = "onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so"


def counted(kernels: Mapping[str, int], low: float = 1.0, high: float = 1.0, **more: str) -> Profile:
    total = float(sum(kernels.values()))
    value = Measurement(total, "simulated", Interval(total * low, total * high))
    told = tuple(Kernel(name, ORT, count, 2 * count) for name, count in kernels.items())
    what = Simulation("3.19.0", "amd64-avx2", {"numpy": "2"}, kernels=told, **more)
    return profile({"instructions": value, "data_traffic": value}, simulation=what)


@given(COUNTS, COUNTS, st.integers(1, 8))
def test_the_parts_sum_to_the_whole(before: dict[str, int], after: dict[str, int], batch: int) -> None:
    total = (sum(after.values()) - sum(before.values())) / batch
    if not total:
        return
    found = contributions(after, before, total, batch)
    assert sum(one.delta for one in found) == pytest.approx(total, abs=1e-3)
    assert len(found) <= MOST + 1
    named = [abs(one.delta) for one in found if one.path]
    assert named == sorted(named, reverse=True)
    assert all(one.share == pytest.approx(one.delta / total) for one in found)


def test_the_report_names_the_function_that_holds_most() -> None:
    before, after = counted({"MlasSgemmKernel": 200, "Softmax": 50}), counted({"MlasSgemmKernel": 231, "Softmax": 57})
    found = attribute(before, after, compare_profiles(before, after))
    (told, _) = where.places(found.values())
    ort = "(onnxruntime_pybind11_state)"
    assert told.text == f"+38.0: 82 % in MlasSgemmKernel {ort}, 18 % in Softmax {ort}"
    (traffic,) = [one for one in found["data_traffic"].where if one.path.startswith("Mlas")]
    assert traffic.delta == 62


def test_what_may_be_no_change_comes_from_nowhere() -> None:
    before, after = counted({"f": 1000}, high=1.002), counted({"f": 1001}, low=0.999)
    assert attribute(before, after, compare_profiles(before, after))["instructions"].where == ()


def test_kernels_are_of_a_call_and_what_they_explain_of_an_item() -> None:
    assert [one.delta for one in contributions({"f": 300}, {"f": 100}, 50.0, 4)] == [50, 0]


def test_a_decrease_comes_from_somewhere_too() -> None:
    before, after = counted({"f": 1000, "g": 50}), counted({"f": 700, "g": 50})
    (first, *_) = attribute(before, after, compare_profiles(before, after))["instructions"].where
    assert (first.delta, first.share) == (-300, 1.0)


@pytest.mark.parametrize(("small", "named"), [(10, ["f", "g", ""]), (9, ["f", ""])])
def test_a_hundredth_of_the_change_is_worth_a_name(small: int, named: list[str]) -> None:
    found = contributions({"f": 1000 - small, "g": small}, {}, 1000.0, 1)
    assert [one.path for one in found] == named


def test_without_kernels_nothing_is_said() -> None:
    before, after = counted({"f": 10}), counted({"f": 20})
    bare = profile(before.measurements)
    compared = compare_profiles(before, after)
    assert attribute(bare, after, compared)["instructions"].where == ()
    assert contributions({}, {}, 5.0, 1) == ()


def test_functions_are_called_by_name_library_or_place() -> None:
    assert called("memcpy", "libc.so.6") == "memcpy (libc)"
    assert called("0x191eff0", ORT) == "0x191eff0 (onnxruntime_pybind11_state)"
    assert called("", "libc.so.6") == "other functions of libc"
    assert called("", "") == MADE


# --- like with like -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instruction_set": "amd64-avx"}, "instruction set was amd64-avx2, is amd64-avx"),
        ({"valgrind": "3.24.0"}, "valgrind was 3.19.0, is 3.24.0"),
        ({"libraries": {"numpy": "3"}}, "library numpy was 2, is 3"),
        ({"libraries": {}}, "library numpy was 2, is absent"),
        ({"cache": "64 KiB"}, None),
        ({"kernels": ()}, None),
    ],
)
def test_the_first_difference_of_two_simulated_processors_is_named(change: dict[str, object], said: str | None) -> None:
    base: dict[str, object] = {"valgrind": "3.19.0", "instruction_set": "amd64-avx2", "libraries": {"numpy": "2"}}
    one, other = Simulation(**base), Simulation(**(base | change))  # type: ignore[arg-type]
    assert simulation_difference(one, other, cache=False) == said
    if "cache" in change:
        assert simulation_difference(one, other, cache=True) == "simulated cache was , is 64 KiB"
    assert simulation_difference(None, one, cache=False) is not None


def test_hosts_that_differ_in_all_else_compare() -> None:
    import dataclasses

    before, after = counted({"f": 100}), counted({"f": 107})
    other = dataclasses.replace(after.hardware, cpu="another", cores=64, extensions=("avx512f",))
    after = dataclasses.replace(after, hardware=other)
    change = compare_profiles(before, after)["instructions"].change
    assert isinstance(change, Change)
    assert change.value == pytest.approx(0.07)
    runtime = dataclasses.replace(after, runtime={"onnxruntime": "1.99"})
    unlike = compare_profiles(before, runtime)["instructions"].change
    assert isinstance(unlike, Missing)
    assert "runtime" in unlike.reason
