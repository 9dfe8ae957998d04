"""Slices of labelled data: which samples are run and scored, and what is wrong with a slice that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from greengate.answers import Slice
from greengate.profiler.backends import onnx_session
from greengate.profiler.jobs import Refused, Scored, ScoreJob

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
HELD = dict(np.load(DIGITS / "heldout.npz"))
EVEN = HELD["labels"] % 2 == 0


def scored(folder: Path, part: Slice, metric: str = "top1", batch: int = 64, **more: Any) -> Scored:
    """Score the digits network on the held-out images, with further arrays beside them."""
    data = folder / "val.npz"
    np.savez(data, **{**HELD, **more})
    job = ScoreJob(str(DIGITS / "models/digits.onnx"), str(data), metric, 1, batch, slice=part)
    found = onnx_session.run(job, lambda _: None)
    assert isinstance(found, Scored)
    return found


@pytest.mark.parametrize("batch", [1, 7, 64, 1000])
def test_a_slice_is_what_the_whole_says_of_its_samples(tmp_path: Path, batch: int) -> None:
    """The whole is scored once; each slice must be exactly its rows, in the file's order, whatever the batch."""
    whole = scored(tmp_path, Slice(), "f1", is_even=EVEN)
    for part, chosen in (
        (Slice(mask="is_even"), EVEN),
        (Slice(labels=(3, 7)), np.isin(HELD["labels"], (3, 7))),
        (Slice(labels=(0,)), HELD["labels"] == 0),
    ):
        found = scored(tmp_path, part, "f1", batch, is_even=EVEN)
        for name, column in whole.columns.items():
            assert list(found.columns[name]) == list(np.asarray(column)[chosen]), (part, name)
        assert 0 < chosen.sum() < len(chosen)


def test_a_mask_of_all_is_the_whole(tmp_path: Path) -> None:
    assert scored(tmp_path, Slice(mask="all"), all=np.ones(360, bool)) == scored(tmp_path, Slice())


def test_arrays_that_the_model_does_not_take_may_have_any_length(tmp_path: Path) -> None:
    found = scored(tmp_path, Slice(mask="is_even"), is_even=EVEN, note=np.array("held out"), few=np.zeros(3))
    assert len(found.columns["hit"]) == EVEN.sum()


def test_an_input_as_long_as_the_slice_is_not_taken_for_the_slice(tmp_path: Path) -> None:
    short = HELD["images"][EVEN]
    with pytest.raises(Refused, match="inputs and labels differ in length"):
        scored(tmp_path, Slice(mask="is_even"), is_even=EVEN, images=short)


@pytest.mark.parametrize(
    ("part", "more", "words"),
    [
        (Slice(mask="is_evne"), {}, "has no array 'is_evne'"),
        (Slice(mask="labels"), {}, "has no array 'labels'"),
        (Slice(mask="m"), {"m": EVEN.astype(np.int8)}, "the mask 'm' is int8, not boolean"),
        (Slice(mask="m"), {"m": EVEN.astype(float)}, "the mask 'm' is float64, not boolean"),
        (Slice(mask="m"), {"m": EVEN[:-1]}, "the mask 'm' has shape [359] for 360 labels"),
        (Slice(mask="m"), {"m": EVEN[:, None]}, "the mask 'm' has shape [360, 1] for 360 labels"),
        (Slice(mask="m"), {"m": np.array(True)}, "the mask 'm' has shape [] for 360 labels"),
        (Slice(mask="m"), {"m": np.zeros(360, bool)}, "has no sample where m"),
        (Slice(labels=(3, 11, 12)), {}, "has no sample labelled 11, 12"),
        (Slice(labels=(3,)), {"labels": HELD["labels"].astype(float)}, "are no classes"),
        (Slice(labels=(3,)), {"labels": HELD["labels"][:, None]}, "are no classes"),
        (Slice(), {"labels": np.array(3)}, "'labels' is one value, not one a sample"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slice_that_does_not_fit_says_what_is_wrong(
    tmp_path: Path, part: Slice, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as refused:
        scored(tmp_path, part, **more)
    assert words in str(refused.value)
    assert refused.value.code == "recorded-data"
    assert refused.value.help


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Slice(), ""),
        (Slice(mask="rare"), "where rare"),
        (Slice(labels=(3,)), "labelled 3"),
        (Slice(labels=(3, 7)), "labelled 3 or 7"),
    ],
)
def test_a_slice_is_said_in_words(part: Slice, words: str) -> None:
    assert str(part) == words
