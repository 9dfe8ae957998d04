"""`profile --layers`: a tree that fits a screen, largest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import nouns
import pytest
import verdicts

from greengate.profile import Layer, Profile
from greengate.report.numbers import ABSENT
from greengate.report.outline import render

GOLDEN = Path(__file__).parent / "golden"


def profiled(layers: Sequence[Layer], batch: int = 1) -> Profile:
    made = nouns.profile({})
    return replace(made, layers=tuple(layers), workload=replace(made.workload, batch_size=batch))


def linear(name: str, inner: int, outer: int, tokens: int = 128) -> list[Layer]:
    return [
        Layer(f"{name}/MatMul", "MatMul", tokens * inner * outer, inner * outer, 4 * inner * outer, 4 * tokens * outer),
        Layer(f"{name}/Add", "Add", 0, outer, 4 * outer, 4 * tokens * outer),
    ]


def bert(blocks: int = 12, odd: int | None = None) -> list[Layer]:
    """Return the layers of BERT-base as torch's exporter names them; block `odd` has a wider feed-forward part."""
    layers = [Layer("/embeddings/word_embeddings/Gather", "Gather", 0, 30522 * 768, 4 * 30522 * 768, 4 * 128 * 768)]
    for index in range(blocks):
        wide = 4096 if index == odd else 3072
        block = f"/encoder/layer.{index}"
        for part in ("query", "key", "value"):
            layers += linear(f"{block}/attention/self/{part}", 768, 768)
        layers += [Layer(f"{block}/attention/self/MatMul{one}", "MatMul", 128 * 128 * 768) for one in ("", "_1")]
        layers += linear(f"{block}/attention/output/dense", 768, 768)
        layers += linear(f"{block}/intermediate/dense", 768, wide) + linear(f"{block}/output/dense", wide, 768)
    return [*layers, *linear("/pooler/dense", 768, 768, tokens=1)]


STORIES: dict[str, Profile] = {
    "bert": profiled(bert()),
    "bert-odd": profiled(bert(odd=7)),
    "unknown": profiled([*bert(1), Layer("/encoder/layer.0/attention/Fancy", "Fancy", None)], batch=2),
    "anonymous": profiled(
        [Layer(f"node_{index}", "Conv", 10**index, 7, 28, 64) for index in range(9)] + [Layer("", "Relu", 0)] * 9
    ),
    "look-ups": profiled([Layer("/emb/Gather", "Gather", 0, 5000, 20_000, 64), Layer("/Add", "Add", 0, 0, 0, 64)]),
    "nothing": profiled([]),
    "views": profiled([Layer("/Reshape", "Reshape", 0), Layer("/Shape", "Shape", 0)]),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_tree(story: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN / f"layers-{story}.txt", render(STORIES[story]))


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("story", STORIES)
def test_no_line_is_wider_than_the_page(story: str, width: int) -> None:
    assert all(len(line) <= width for line in render(STORIES[story], width=width).splitlines())


def test_twelve_equal_blocks_are_one_row_and_their_shares_sum_up() -> None:
    text = render(STORIES["bert"])
    (row,) = [line for line in text.splitlines() if "encoder/layer.0-11" in line]
    assert "11.2 GMAC" in row
    assert ">99 %" in row


def test_macs_are_of_one_item() -> None:
    layers = [Layer("/head/Gemm", "Gemm", 8_000, 10, 40, 4)]
    assert "8.00 KMAC" in render(profiled(layers))
    text = render(profiled(layers, batch=8))
    assert "1.00 KMAC" in text
    assert "batch size 8" in text


def test_a_sum_with_an_unknown_part_is_no_number() -> None:
    rows = {line.split()[0]: line for line in render(STORIES["unknown"]).splitlines() if line.strip()}
    assert "GMAC" not in rows["encoder/layer.0"]
    assert "MACs of 1 layer are not known" in render(STORIES["unknown"])
    assert "MMAC" in rows["intermediate/dense"]


def test_an_unknown_layer_is_named_among_any_number_of_others() -> None:
    layers = [Layer(f"/{name}/Conv", "Conv", 1000) for name in "abcd"]
    layers += [Layer(f"/{name * 2}/Add", "Add", 0) for name in "abcd"]
    rows = render(profiled([*layers, Layer("/odd/Fancy", "Fancy", None)])).splitlines()
    assert any(row.split() == ["odd/Fancy", ABSENT] for row in rows)
    assert any(row.startswith("4 more") for row in rows)


def test_a_network_of_200_blocks_fits_a_screen() -> None:
    layers = [
        Layer(f"/a/b.{block}/c.{part}/Conv_{node}", "Conv", block * 100 + part * 10 + node)
        for block in range(20)
        for part in range(5)
        for node in range(4)
    ]
    rows = render(profiled(layers)).splitlines()
    assert 20 <= len(rows) <= 46
    assert any("more" in row for row in rows)


def test_what_shares_a_row_is_in_its_sum() -> None:
    layers = [Layer(f"/{name}/Conv", "Conv", 10, 1) for name in "abcdefghijkl"]
    (row,) = [line for line in render(profiled(layers)).splitlines() if "more" in line]
    assert row.split() == ["4", "more", "40.0", "MAC", "33", "%", "4.00"]


@pytest.mark.parametrize("stranger", verdicts.HOSTILE, ids=ascii)
def test_hostile_names_stay_in_their_line(stranger: str) -> None:
    harmless = len(render(profiled([Layer("a", "b", 1, 1, 1, 1)])).splitlines())
    text = render(profiled([Layer(stranger, stranger, 1, 1, 1, 1)]))
    assert len(text.splitlines()) == harmless
    assert "\x1b" not in text
    assert not any(line.lstrip().startswith(("::", "##[")) for line in text.splitlines())
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_terminal_without_unicode_is_spared_it() -> None:
    render(STORIES["unknown"], encoding="ascii").encode("ascii")
