"""GPUs as their driver tells them: whole boards, partitions, boards that tell little, and no driver at all."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import nouns
import pytest
from needs import package

from greengate.differences import hardware_difference
from greengate.profile import Gpu, Hardware, Missing
from greengate.profiler.boards import board_of, boards
from greengate.tasks import machine

GIB = 1024**3


class NVMLError(Exception):
    pass


@dataclass
class Driver:
    """A driver that answers like NVIDIA's, for boards this machine does not have."""

    cards: list[dict[str, Any]]
    NVMLError: type[Exception] = NVMLError
    NVML_CLOCK_SM: int = 1
    NVML_DEVICE_MIG_ENABLE: int = 1
    calls: list[str] = field(default_factory=list)
    lost: tuple[int, ...] = ()
    uncounted: bool = False

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in ("nvmlInit", "nvmlShutdown"):
                return None
            if name == "nvmlSystemGetDriverVersion":
                return b"610.12"
            if name == "nvmlDeviceGetCount":
                if self.uncounted:
                    raise NVMLError("Unknown Error")
                return len(self.cards)
            if name == "nvmlDeviceGetHandleByIndex":
                if arguments[0] in self.lost:
                    raise NVMLError("GPU is lost")
                return self.cards[arguments[0]]
            if name == "nvmlDeviceGetMigDeviceHandleByIndex":
                parts = arguments[0].get("parts", [])
                if arguments[1] >= len(parts):
                    raise NVMLError("not found")
                return parts[arguments[1]]
            if name not in arguments[0]:
                raise NVMLError("not supported")
            return arguments[0][name]

        return answer


def card(**more: Any) -> dict[str, Any]:
    return {
        "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 * GIB),
        "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        "nvmlDeviceGetMaxClockInfo": 1980,
        "nvmlDeviceGetUUID": "GPU-1",
        "nvmlDeviceGetEccMode": [1, 1],
        "nvmlDeviceGetMigMode": [0, 0],
        **more,
    }


def with_driver(monkeypatch: pytest.MonkeyPatch, *cards: dict[str, Any]) -> Driver:
    driver = Driver(list(cards))
    monkeypatch.setitem(sys.modules, "pynvml", driver)  # type: ignore[arg-type]
    return driver


def test_a_whole_board(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = with_driver(monkeypatch, card())
    facts = {"driver": "610.12", "highest SM clock": "1980 MHz", "ECC": "on", "UUID": "GPU-1"}
    assert boards() == (Gpu("NVIDIA H100 80GB HBM3", 80 * GIB, 700.0, "", facts),)
    assert driver.calls[-1] == "nvmlShutdown"


def test_a_partition_stands_for_its_board(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        card(
            nvmlDeviceGetName="NVIDIA H100 80GB HBM3 MIG 3g.40gb",
            nvmlDeviceGetMemoryInfo=SimpleNamespace(total=40 * GIB),
            nvmlDeviceGetUUID="MIG-1",
        )
    ]
    with_driver(monkeypatch, card(nvmlDeviceGetMigMode=[1, 1], nvmlDeviceGetMaxMigDeviceCount=7, parts=parts), card())
    found = boards()
    assert not isinstance(found, Missing)
    assert [(gpu.partition, gpu.memory // GIB, gpu.facts["UUID"]) for gpu in found if isinstance(gpu, Gpu)] == [
        ("3g.40gb", 40, "MIG-1"),
        ("", 80, "GPU-1"),
    ]


def test_a_board_that_tells_little_is_still_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, {"nvmlDeviceGetName": b"Old"})
    assert boards() == (Gpu("Old", 0, 0.0, "", {"driver": "610.12"}),)


def three_of_which_one_is_lost(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    cards = [card(nvmlDeviceGetUUID=f"GPU-{index}") for index in range(3)]
    driver = with_driver(monkeypatch, *cards)
    if where == "opened":
        driver.lost = (1,)
    else:  # opened still, but without any answer
        cards[1].clear()


@pytest.mark.parametrize(("where", "said"), [("opened", "GPU is lost"), ("asked", "not supported")])
def test_a_lost_board_takes_no_other_with_it(where: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    three_of_which_one_is_lost(monkeypatch, where)
    found = boards()
    assert not isinstance(found, Missing)
    first, lost, last = found
    assert isinstance(first, Gpu)
    assert isinstance(last, Gpu)
    assert (first.facts["UUID"], last.facts["UUID"]) == ("GPU-0", "GPU-2")
    assert isinstance(lost, Missing)
    assert lost.reason == f"GPU 1 does not answer: {said}"
    assert "nvidia-smi" in lost.help


def test_a_model_on_another_board_knows_it_and_one_on_the_lost_hears_why(monkeypatch: pytest.MonkeyPatch) -> None:
    three_of_which_one_is_lost(monkeypatch, "opened")
    assert board_of("GPU-2", "H100", 5).power_limit == 700.0
    lost = board_of("GPU-1", "H100", 5)
    assert (lost.name, lost.memory) == ("H100", 5)
    assert lost.facts == {"UUID": "GPU-1", "power limit": "not told: GPU 1 does not answer: GPU is lost"}


def test_the_machine_is_told_with_the_boards_that_answer_and_the_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    three_of_which_one_is_lost(monkeypatch, "opened")
    lines = [line for line in machine.described().splitlines() if line.startswith("GPU")]
    assert [line[17:].partition(",")[0].partition(";")[0] for line in lines] == [
        "NVIDIA H100 80GB HBM3",
        "not told: GPU 1 does not answer: GPU is lost",
        "NVIDIA H100 80GB HBM3",
    ]
    written = json.loads(machine.as_json())
    assert [gpu["facts"]["UUID"] for gpu in written["gpus"]] == ["GPU-0", "GPU-2"]
    assert written["notes"][-1] == "GPU 1 does not answer: GPU is lost"


def test_boards_that_the_driver_does_not_count_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, card()).uncounted = True
    found = boards()
    assert isinstance(found, Missing)
    assert found.reason == "the NVIDIA driver does not count its boards: Unknown Error"


def test_without_a_driver_it_says_so() -> None:
    nvml = package("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        found = boards()
        assert isinstance(found, Missing)
        assert "the NVIDIA driver does not answer" in found.reason
    else:
        assert not isinstance(boards(), Missing)


def test_without_the_package_it_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = boards()
    assert isinstance(found, Missing)
    assert "[nvidia]" in found.help


H100 = Gpu("H100", 80 * GIB, 700.0)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((H100,), (H100,), None),
        ((), (H100,), "GPU 0 was absent, is H100"),
        ((H100, H100), (H100,), "GPU 1 was H100, is absent"),
        ((H100,), (Gpu("H200", 80 * GIB, 700.0),), "GPU 0 name was H100, is H200"),
        ((H100,), (Gpu("H100", 80 * GIB, 500.0),), "GPU 0 power limit was 700 W, is 500 W"),
        ((H100,), (Gpu("H100", 80 * GIB, 700.0, "1g.10gb"),), "GPU 0 partition was none, is 1g.10gb"),
        ((H100,), (Gpu("H100", 80 * GIB, 700.0, "", {"driver": "1"}),), None),
    ],
)
def test_the_first_difference_is_named_and_the_id_follows(
    before: tuple[Gpu, ...], after: tuple[Gpu, ...], said: str | None
) -> None:
    one, other = (Hardware("C", "x", 2, (), 1, "L", gpus=gpus) for gpus in (before, after))
    assert hardware_difference(one, other) == said
    assert (one.id == other.id) == (said is None)


def test_the_limit_of_a_container_is_named() -> None:
    limited = Hardware("C", "x", 2, (), 1, "L", cpu_share=0.5)
    said = "the CPU limit of the container was none, is 0.5"
    assert hardware_difference(Hardware("C", "x", 2, (), 1, "L"), limited) == said


def test_machines_without_boards_keep_the_id_they_had() -> None:
    assert nouns.HARDWARE.id == "5c780bfd5dc1"
