"""Copies of what a model is called with: as it was made, and told from what is left of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import needs
import pytest

needs.package("torch")

import torch  # noqa: E402

from greengate.profiler.operations.torch_fresh import fingerprint, fresh  # noqa: E402


@dataclass
class Batch:
    """A class of the user's own, which no tree of PyTorch's knows."""

    image: Any
    size: int = 4


class Fixed(Batch):
    """One that cannot be copied."""

    def __deepcopy__(self, memo: object) -> Fixed:
        raise TypeError


def grown(tensor: Any) -> None:
    tensor.resize_(9)


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "a number": (lambda: torch.ones(2, 3), lambda x: x.div_(255)),
    "a sign of zero": (lambda: torch.zeros(3), lambda x: x.neg_()),
    "a not-a-number": (lambda: torch.full((3,), torch.nan), lambda x: x.zero_()),
    "ids": (lambda: torch.arange(4), lambda x: x.add_(2)),
    "a mask": (lambda: torch.tensor([True]), lambda x: x.logical_not_()),
    "a half": (lambda: torch.ones(3, dtype=torch.bfloat16), lambda x: x.mul_(2)),
    "no dimension": (lambda: torch.tensor(3.0), lambda x: x.mul_(2)),
    "its size": (lambda: torch.ones(3), grown),
    "its shape": (lambda: torch.ones(2, 3), lambda x: x.t_()),
    "in a tuple in a dict": (lambda: {"pair": (torch.ones(1), torch.ones(2))}, lambda x: x["pair"][1].add_(1)),
    "a dict": (lambda: {"a": torch.ones(1), "b": torch.ones(1)}, lambda x: x.pop("b")),
    "a list": (lambda: ([torch.ones(1)],), lambda x: x[0].append(torch.ones(1))),
    "in an object": (lambda: Batch(torch.ones(2)), lambda x: x.image.add_(1)),
    "of an object": (lambda: (Batch(torch.ones(2)),), lambda x: setattr(x[0], "size", 5)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_copy_goes_through_is_told_and_leaves_the_original_alone(name: str) -> None:
    make, change = CHANGES[name]
    given = make()
    copied, before = fresh(given), fingerprint(given)
    assert fingerprint(copied) == before
    change(copied)
    assert fingerprint(copied) != before
    assert fingerprint(given) == before
    assert fingerprint(make()) == before, "it is of what is in it, not of where it lies"


def test_views_of_one_memory_are_views_of_one_memory_again() -> None:
    whole = torch.arange(12.0)
    rows, turned, same = fresh((whole.view(3, 4), {"turned": whole.view(3, 4).t()}, whole))[0:3]
    rows[0, 1] = 100
    assert turned["turned"][1, 0] == 100
    assert same[1] == 100
    assert whole[1] == 1
    one, other = fresh([whole, whole])
    assert one is other


def test_a_copy_is_of_the_kind_and_layout_that_the_original_is() -> None:
    image = torch.ones(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert fresh(image).stride() == image.stride()
    leaf = torch.ones(2, requires_grad=True)
    assert fresh(leaf).requires_grad
    assert fresh(leaf * 2).requires_grad
    with torch.inference_mode():
        made = torch.ones(3)
        assert not fresh(image).is_inference()
    assert fresh(made).is_inference()
    assert fingerprint(made) == fingerprint(torch.ones(3))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_without_memory_of_their_own_are_copied_all_the_same() -> None:
    quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)
    odd = (torch.ones(2, device="meta"), torch.eye(2).to_sparse(), quantised, torch.ones(2, dtype=torch.cfloat).conj())
    assert fingerprint(fresh(odd)) == fingerprint(odd)


def test_what_cannot_be_copied_goes_as_it_is_beside_copies() -> None:
    held = torch.ones(1)
    given = (Fixed(torch.ones(2)), held)
    copied, beside = fresh(given)
    assert copied is given[0]
    beside.add_(1)
    assert held == 1
