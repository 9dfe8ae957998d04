"""Layers: names as paths, two models matched, a change told by where it comes from, one model as an outline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import nouns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate.compare import compare_profiles, compare_trial
from greengate.comparison import Contribution
from greengate.layers import Branch, attribute, attribution, outline
from greengate.layers.alignment import alike, by_kind, closest, in_order
from greengate.layers.matching import match
from greengate.layers.paths import Numbered, level_of, numbered, path_of, written
from greengate.profile import Layer, Profile

METRICS = ("macs", "flops", "params", "size", "activation_memory")


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "op", "path"),
    [
        # torch's TorchScript exporter repeats the name of a sequence before that of its children
        ("/encoder/layer.0/attention/self/query/MatMul", "MatMul", "encoder layer 0 attention self query MatMul"),
        ("/layer1/layer1.0/conv1/Conv", "Conv", "layer1 0 conv1 Conv"),
        ("/features/features.0/features.0.0/Conv", "Conv", "features 0 0 Conv"),
        ("/decoder/decoder/2/Conv", "Conv", "decoder decoder 2 Conv"),
        # torch's dynamo exporter, and parameters
        ("encoder.layer.0.attention.self.query", "MatMul", "encoder layer 0 attention self query"),
        ("layer1.0.conv1", "Conv", "layer1 0 conv1"),
        # tf2onnx, jax2tf, paddle
        ("StatefulPartitionedCall/model/dense/MatMul", "MatMul", "StatefulPartitionedCall model dense MatMul"),
        ("model/dense_1/Tensordot/MatMul", "MatMul", "model dense_1 Tensordot MatMul"),
        ("p2o.Conv.12", "Conv", "p2o Conv 12"),
        # names that tell no module stand under their operator
        ("node_12", "Conv", "Conv node_12"),
        ("node_Conv_12", "Conv", "Conv node_Conv_12"),
        ("node_conv1d_3", "Conv", "Conv node_conv1d_3"),
        ("Conv_12", "Conv", "Conv Conv_12"),
        ("Conv@3", "Conv", "Conv Conv@3"),
        ("/MatMul_3", "MatMul", "MatMul /MatMul_3"),
        ("7", "Gemm", "Gemm 7"),
        ("Conv", "Conv", "Conv"),
        ("/Conv", "Conv", "Conv"),
        ("", "Conv", "Conv"),
        ("/", "Conv", "Conv"),
        # names that are neither
        ("head", "Gemm", "head"),
        ("layer0", "MatMul", "layer0"),
        ("a//b..c", "Add", "a b c"),
        ("...", "Add", "Add ..."),
    ],
)
def test_a_name_becomes_a_path(name: str, op: str, path: str) -> None:
    assert path_of(name, op) == tuple(path.split())


@given(st.text(alphabet="ab./_@0193", max_size=40), st.sampled_from(["Conv", "MatMul", "", "b_1"]))
def test_any_name_has_a_path(name: str, op: str) -> None:
    path = path_of(name, op)
    assert path
    assert all(path)


def test_a_name_of_many_modules_keeps_its_text() -> None:
    path = path_of("/".join("abcdefghij" * 10), "Conv")
    assert len(path) == 24
    assert path[-1].startswith("d.e.f")


@pytest.mark.parametrize(
    ("segment", "found"),
    [
        ("layer_12", ("layer_", 12)),
        ("0", ("", 0)),
        ("conv1", ("conv", 1)),
        ("conv01", ("conv0", 1)),
        ("conv2d", None),
        ("", None),
    ],
)
def test_a_number_is_told_from_its_stem(segment: str, found: tuple[str, int] | None) -> None:
    assert numbered(segment) == found


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("0 1 2 3", "0-3"),
        ("7", "7"),
        ("conv1 conv3", "conv1,3"),
        ("b_2 b_0 b_1 b_5 b_9 b_8", "b_0-2,5,8-9"),
        ("b0 b2 b4 b6", "b0,2,…,6"),
        ("MatMul MatMul_1 MatMul_2", "MatMul*"),
        ("head", "head"),
    ],
)
def test_siblings_fold_into_one_word(names: str, text: str) -> None:
    assert written([level_of(names.split())]) == text


@pytest.mark.parametrize(
    ("levels", "text"),
    [
        (("encoder", "layer", Numbered("", (0, 1, 2)), "ffn"), "encoder/layer.0-2/ffn"),
        (("layer1", "0", "conv1"), "layer1.0/conv1"),
        (("Conv", "Conv_12"), "Conv_12"),
        (("Conv", Numbered("Conv@", (1, 2))), "Conv@1-2"),
        (("Conv", "node_12"), "Conv/node_12"),
        (("Conv", "Convolve"), "Conv/Convolve"),
        (("1", "2"), "1.2"),
        ((), ""),
    ],
)
def test_a_path_is_written_as_exporters_do(levels: Sequence[Any], text: str) -> None:
    assert written(levels) == text


# --- sequences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("abc", "axbc", [(0, 0), (1, 2), (2, 3)]),
        ("axbc", "abc", [(0, 0), (2, 1), (3, 2)]),
        ("aa", "aaa", [(0, 0), (1, 1)]),
        ("ab", "ba", [(0, 1)]),
        ("", "a", []),
        ("a", "b", []),
    ],
)
def test_sequences_are_paired_in_order(before: str, after: str, pairs: list[tuple[int, int]]) -> None:
    assert in_order(codes(before), codes(after)) == pairs


def codes(text: str) -> list[int]:
    return [ord(char) for char in text]


def test_what_moved_is_paired_after_what_stayed() -> None:
    assert sorted(alike(codes("abc"), codes("cab"))) == [(0, 1), (1, 2), (2, 0)]


def test_what_is_roughly_alike_is_paired_last_and_in_order() -> None:
    exact = codes("abcd"), codes("xcyz")
    rough = codes("1121"), codes("1212")
    assert sorted(closest(exact, rough)) == [(0, 0), (1, 2), (2, 1)]


kinds = st.lists(st.integers(0, 4), max_size=30)


@given(kinds, kinds)
def test_no_element_is_paired_twice_nor_with_another_kind(before: list[int], after: list[int]) -> None:
    for pairs in (in_order(before, after), by_kind(before, after), alike(before, after)):
        assert len({one for one, _ in pairs}) == len({other for _, other in pairs}) == len(pairs)
        assert all(before[one] == after[other] for one, other in pairs)
    assert in_order(before, after) == sorted(in_order(before, after))
    assert len(alike(before, after)) == sum(min(before.count(kind), after.count(kind)) for kind in range(5))


def test_long_sequences_are_paired_by_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = codes("xabc"), codes("cbay")
    assert len(in_order(before, after)) == 1
    monkeypatch.setattr("greengate.layers.alignment._MOST_COMPARED", 3)
    assert sorted(in_order(before, after)) == [(1, 2), (2, 1), (3, 0)]


# --- two models ----------------------------------------------------------------------------------


def mm(name: str, macs: int | None, op: str = "MatMul", **more: int) -> Layer:
    weights = macs or 0
    return replace(Layer(name, op, macs, weights, 4 * weights, 8), **more)  # type: ignore[arg-type]


def block(prefix: str, attention: int = 100, ffn: int = 200) -> list[Layer]:
    return [
        mm(f"{prefix}/attention/query/MatMul", attention),
        mm(f"{prefix}/attention/query/Add", 0, "Add"),
        mm(f"{prefix}/attention/value/MatMul", attention + 1),
        mm(f"{prefix}/ffn/up/MatMul", ffn),
        mm(f"{prefix}/ffn/down/MatMul", ffn),
    ]


def bert(blocks: int = 12, ffn: int = 200, head: int = 50, prefix: str = "", **more: int) -> list[Layer]:
    inner = [layer for index in range(blocks) for layer in block(f"{prefix}/encoder/layer.{index}", ffn=ffn, **more)]
    return [*inner, mm(f"{prefix}/head/Gemm", head, "Gemm")]


def convs(*sizes: int, prefix: str = "features", **more: Any) -> list[Layer]:
    return [mm(f"{prefix}.{index}/conv/Conv", size, "Conv", **more) for index, size in enumerate(sizes)]


def told(found: Sequence[Contribution]) -> list[tuple[str, int]]:
    return [(one.path, int(one.delta)) for one in found]


STORIES: dict[str, tuple[list[Layer], list[Layer], list[tuple[str, int]]]] = {
    "the same part of every block": (
        bert(),
        bert(ffn=300, head=700),
        [("encoder/layer.0-11/ffn", 2400), ("head", 650)],
    ),
    "one part of one block": (
        bert(),
        [replace(one, macs=900) if one.name == "/encoder/layer.7/ffn/up/MatMul" else one for one in bert()],
        [("encoder/layer.7/ffn/up", 700)],
    ),
    "a block more": (bert(), bert(13), [("encoder/layer.12", 601)]),
    "two blocks fewer": (bert(), bert(10), [("encoder/layer.10-11", -1202)]),
    "a block in between moves the numbers of the rest": (
        convs(1, 20, 300, 4000),
        convs(1, 20, 77, 300, 4000),
        [("features.2", 77)],
    ),
    "one block out of between": (convs(1, 20, 300, 4000), convs(1, 300, 4000), [("features.1", -20)]),
    "another prefix": (bert(), bert(ffn=300, prefix="model/inner"), [("model/inner/encoder/layer.0-11/ffn", 2400)]),
    "another name and another size in the same place": (
        bert(),
        [
            replace(one, name=one.name.replace("ffn", "mlp"), macs=(one.macs or 0) + 5 * ("ffn" in one.name))
            for one in bert()
        ],
        [("encoder/layer.0-11/mlp", 120)],
    ),
    "another prefix and another order of running, between constants": (
        [mm("/enc/fc/Gemm", 10, "Gemm"), mm("/dec/fc/Gemm", 100, "Gemm"), mm("/Constant", 0, "Constant")],
        [
            mm("/Constant", 0, "Constant"),
            mm("/net/dec/fc/Gemm", 150, "Gemm"),
            mm("/net/enc/fc/Gemm", 11, "Gemm"),
            mm("/Constant_1", 0, "Constant"),
        ],
        [("net/dec/fc", 50), ("net/enc/fc", 1)],
    ),
    "one block out of several, all others wider and in another order of running": (
        [mm("/mix/0/a/Conv", 10, "Conv"), mm("/mix/1/a/Gemm", 20, "Gemm"), mm("/mix/2/a/LSTM", 30, "LSTM")],
        [mm("/mix/1/a/LSTM", 33, "LSTM"), mm("/mix/0/a/Gemm", 22, "Gemm")],
        [("mix.0", -10), ("mix.1/a", 3), ("mix.0/a", 2)],
    ),
    "a part of a large change is looked into, of a small one not": (
        [mm("/enc/x/MatMul", 0), mm("/mid/a/MatMul", 0), mm("/mid/b/MatMul", 0), *convs(0, 0, prefix="/end/c")],
        [mm("/enc/x/MatMul", 780), mm("/mid/a/MatMul", 190), mm("/mid/b/MatMul", 7), *convs(20, 3, prefix="/end/c")],
        [("enc/x", 780), ("mid/a", 190), ("end/c", 23), ("", 7)],
    ),
    "what cancels out within a module": (
        [mm("/x/a/MatMul", 10), mm("/x/b/MatMul", 10), mm("/y/MatMul", 1)],
        [mm("/x/a/MatMul", 15), mm("/x/b/MatMul", 5), mm("/y/MatMul", 4)],
        [("y", 3)],
    ),
    "a block more, and all of them wider": (
        bert(3),
        bert(4, ffn=300, head=51),
        [("encoder/layer.3", 801), ("encoder/layer.0-2/ffn", 600), ("", 1)],
    ),
    "a new head elsewhere is not the layer that was lost": (
        bert(2),
        [*bert(1), mm("/pooler/MatMul", 7)],
        [("encoder/layer.1", -601), ("pooler", 7)],
    ),
    "a node without a name": (
        [mm("", 10, "Conv"), mm("", 20, "Conv"), mm("", 30, "Gemm")],
        [mm("", 10, "Conv"), mm("", 5, "Conv"), mm("", 20, "Conv"), mm("", 30, "Gemm")],
        [("Conv", 5)],
    ),
    "numbers of nodes that count through the graph": (
        [mm("node_0", 10, "Conv"), mm("node_1", 20, "Conv"), mm("node_2", 30, "Conv")],
        [mm("node_0", 10, "Conv"), mm("node_1", 0, "Relu"), mm("node_2", 25, "Conv"), mm("node_3", 30, "Conv")],
        [("Conv/node_2", 5)],
    ),
    "a few stages, each in its own way": (
        convs(10, 20, 30, prefix="/net/stage"),
        convs(20, 50, 90, prefix="/net/stage"),
        [("net/stage.2/conv", 60), ("net/stage.1/conv", 30), ("net/stage.0/conv", 10)],
    ),
    "one of many that changed most of all": (
        convs(*range(1, 20)),
        convs(*(size + (1000 if size == 10 else 1) for size in range(1, 20))),
        [("features.9/conv", 1000), ("features.0-8,10-18/conv", 18)],
    ),
    "names that group nothing": (
        [mm(f"{name}{name}", 10, "Conv" if index % 3 else "Gemm") for index, name in enumerate("abcdefghijkl")],
        [mm(f"{name}{name}", 11, "Conv" if index % 3 else "Gemm") for index, name in enumerate("abcdefghijkl")],
        [("Conv", 8), ("Gemm", 4)],
    ),
    "some grew, others shrank": (
        bert(1),
        [*bert(1, ffn=100), mm("/tail/MatMul", 500)],
        [("tail", 500), ("encoder/layer.0/ffn", -200)],
    ),
    "a quantised operator": (
        [mm("/a/fc/MatMul", 10), mm("/b/fc/MatMul", 3)],
        [mm("/a/fc/MatMul_quant", 12, "MatMulInteger"), mm("/b/fc/MatMul", 3)],
        [("a/fc", 2)],
    ),
    "more places than a reader takes in": (
        [mm(f"{name}/x", 0) for name in "abcdefg"],
        [mm(f"{name}/x", 2**index) for index, name in enumerate("abcdefg")],
        [("g/x", 64), ("f/x", 32), ("e/x", 16), ("d/x", 8), ("", 7)],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_change_is_told_by_where_it_comes_from(story: str) -> None:
    before, after, expected = STORIES[story]
    found = attribution(before, after, "macs")
    assert told(found) == expected
    assert told(attribution(after, before, "macs"))[:1] != told(found)[:1]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("a block more", ["added"]),
        ("two blocks fewer", ["removed"]),
        ("a new head elsewhere is not the layer that was lost", ["removed", "added"]),
        ("the same part of every block", ["changed", "changed"]),
        ("another name and another size in the same place", ["changed"]),
        ("one part of one block", ["changed"]),
        ("a node without a name", ["changed"]),
        (
            "one block out of several, all others wider and in another order of running",
            ["removed", "changed", "changed"],
        ),
    ],
)
def test_whole_modules_are_called_new_or_removed(story: str, expected: list[str]) -> None:
    before, after, _ = STORIES[story]
    assert [one.kind for one in attribution(before, after, "macs")] == expected


def test_one_node_fewer_in_a_module_does_not_remove_the_module() -> None:
    before, after, _ = STORIES["a node without a name"]
    assert [one.kind for one in attribution(after, before, "macs")] == ["changed"]


def test_a_new_layer_in_an_old_module_does_not_make_the_module_new() -> None:
    found = attribution(bert(2), [*bert(2), mm("/encoder/layer.1/ffn/gate/MatMul", 9)], "macs")
    assert [(one.path, one.kind) for one in found] == [("encoder/layer.1/ffn/gate", "added")]


@pytest.mark.parametrize(
    ("metric", "delta"),
    [("macs", 30), ("flops", 60), ("params", 30), ("size", 120), ("activation_memory", 1)],
)
def test_every_metric_has_its_own_amount(metric: str, delta: int) -> None:
    after = mm("/a/b/MatMul", 40, activation_bytes=9)
    assert told(attribution([mm("/a/b/MatMul", 10)], [after], metric)) == [("a/b", delta)]


@pytest.mark.parametrize("unknown", ["baseline", "candidate", "both"])
def test_macs_that_are_not_known_are_not_guessed(unknown: str) -> None:
    before = [*bert(1), mm("/odd/Foo", None if unknown != "candidate" else 1, "Foo")]
    after = [*bert(1, ffn=300), mm("/odd/Foo", None if unknown != "baseline" else 2, "Foo")]
    assert attribution(before, after, "macs") == ()
    assert attribution(before, after, "flops") == ()
    assert told(attribution(before, after, "params"))[0] == ("encoder/layer.0/ffn", 200)


@pytest.mark.parametrize("count", [10**400, -(10**400)])
def test_a_count_that_no_number_can_hold_is_not_known(count: int) -> None:
    assert attribution([mm("/a/x/MatMul", 1)], [mm("/a/x/MatMul", count)], "macs") == ()
    assert told(attribution([mm("/a/x/MatMul", 1)], [mm("/a/x/MatMul", -5)], "macs")) == [("a/x", -6)]


# --- what holds for any two models -----------------------------------------------------------------

_modules = st.lists(st.sampled_from(["enc", "dec", "ffn", "0", "1", "2", "b_1", "b_2"]), max_size=3)
_layers = st.builds(
    lambda modules, op, number, amounts: Layer(
        "/".join([*modules, f"{op}{number}"]) if number != "none" else "", op, *amounts
    ),
    _modules,
    st.sampled_from(["MatMul", "Add", "Conv"]),
    st.sampled_from(["", "_1", "_2", "none"]),
    st.tuples(*[st.integers(0, 6)] * 4),
)
networks = st.lists(_layers, max_size=12)


def sums(layers: Sequence[Layer]) -> dict[str, int]:
    macs = sum(layer.macs or 0 for layer in layers)
    return {
        "macs": macs,
        "flops": 2 * macs,
        "params": sum(layer.params for layer in layers),
        "size": sum(layer.weight_bytes for layer in layers),
        "activation_memory": sum(layer.activation_bytes for layer in layers),
    }


@given(networks, networks)
def test_contributions_sum_to_the_difference(before: list[Layer], after: list[Layer]) -> None:
    for metric in METRICS:
        found = attribution(before, after, metric)
        difference = sums(after)[metric] - sums(before)[metric]
        assert sum(one.delta for one in found) == difference
        assert bool(found) == bool(difference)
        assert len(found) <= 5
        if found:
            assert sum(one.share for one in found) == pytest.approx(1)
            assert len({(one.path, one.kind) for one in found}) == len(found)


@given(networks, networks)
def test_every_layer_is_matched_once(before: list[Layer], after: list[Layer]) -> None:
    found = match(before, after)
    assert sorted(id(one.before) for one in found if one.before) == sorted(map(id, before))
    assert sorted(id(one.after) for one in found if one.after) == sorted(map(id, after))
    for one in found:
        assert one.kind == ("added" if one.before is None else "removed" if one.after is None else "changed")
        assert (one.whole == 0) == (one.kind == "changed")


@given(networks, st.randoms(use_true_random=False))
def test_the_same_layers_have_no_contributions_in_any_order(layers: list[Layer], chance: random.Random) -> None:
    mixed = layers.copy()
    chance.shuffle(mixed)
    for metric in METRICS:
        assert attribution(layers, layers, metric) == attribution(layers, mixed, metric) == ()


@given(networks)
def test_the_same_layers_match_themselves(layers: list[Layer]) -> None:
    assert all(one.before == one.after for one in match(layers, layers))


@given(networks, st.integers(1, 99))
def test_what_is_renamed_is_matched_by_what_it_is(layers: list[Layer], more: int) -> None:
    renamed = [replace(layer, name=f"other/way{index}x") for index, layer in enumerate(layers)]
    assert all(
        one.before and one.after and replace(one.before, name="") == replace(one.after, name="")
        for one in (match(layers, renamed))
    )
    grown = [*renamed, Layer("other/extra", "Gemm", more)]
    assert [one.delta for one in attribution(layers, grown, "macs")] == [more]


@given(st.randoms(use_true_random=False))
def test_the_order_of_siblings_does_not_matter(chance: random.Random) -> None:
    before, after, expected = STORIES["the same part of every block"]
    before, after = before.copy(), after.copy()
    chance.shuffle(before)
    chance.shuffle(after)
    assert told(attribution(before, after, "macs")) == expected


# --- two profiles ----------------------------------------------------------------------------------


def profiled(layers: Sequence[Layer], batch: int = 1, **more: float) -> Profile:
    found = sums(layers)
    values = {"macs": found["macs"] / batch, "flops": found["flops"] / batch, "params": found["params"]}
    values |= {"size": found["size"] + 100, "activation_memory": found["activation_memory"] / 2}
    made = nouns.profile({name: nouns.exact(float(value)) for name, value in (values | more).items()})
    return replace(made, layers=tuple(layers), workload=replace(made.workload, batch_size=batch))


def where(before: Profile, after: Profile) -> dict[str, list[tuple[str, float]]]:
    found = attribute(before, after, compare_profiles(before, after))
    return {name: [(one.path, one.delta) for one in compared.where] for name, compared in found.items()}


def test_only_exact_metrics_that_changed_are_told() -> None:
    grown = [replace(one, macs=300) if "up" in one.name else one for one in bert(1)]
    found = where(profiled(bert(1)), profiled(grown))
    assert found.pop("macs") == [("encoder/layer.0/ffn/up", 100.0)]
    assert found.pop("flops") == [("encoder/layer.0/ffn/up", 200.0)]
    assert not any(found.values())


def test_macs_are_told_per_item() -> None:
    assert where(profiled(bert(1), batch=8), profiled(bert(1, head=850), batch=8))["macs"] == [("head", 100.0)]


def test_what_the_file_holds_beside_its_weights_is_elsewhere() -> None:
    before, after = bert(1), bert(1, head=100)
    found = where(profiled(before), profiled(after, size=sums(after)["size"] + 1100))["size"]
    assert found == [("head", 200.0), ("", 1000.0)]  # what is left over stands last however large it is


def test_modules_that_changed_by_nothing_in_the_end_are_not_named() -> None:
    before = [mm(f"/{name}/MatMul", 10) for name in ("x/a", "x/b", "y/a", "y/b")]
    after = [replace(one, macs=15 if "a" in one.name.split("/") else 5) for one in before]
    assert where(profiled(before), profiled(after, macs=500.0))["macs"] == [("", 460.0)]


def test_what_no_layer_that_ran_explains_is_outside_of_them() -> None:
    layers = bert(1)
    assert where(profiled(layers), profiled(layers, size=7.0))["size"] == [("", 7.0 - sums(layers)["size"] - 100)]


@pytest.mark.parametrize(
    ("peak", "expected"), [(85.0, [("head", 92.0)]), (116.0, [("head", 92.0)]), (117.0, []), (1.0, [])]
)
def test_layers_that_put_out_more_explain_only_as_much_of_a_peak(
    peak: float, expected: list[tuple[str, float]]
) -> None:
    after = [replace(one, activation_bytes=100) if "head" in one.name else one for one in bert(1)]
    assert where(profiled(bert(1)), profiled(after, activation_memory=peak))["activation_memory"] == expected


def incomparable(layers: Sequence[Layer]) -> Profile:
    made = profiled(layers)
    return replace(made, workload=replace(made.workload, feed="sha256:other"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (replace(profiled(bert(1)), layers=()), profiled(bert(2))),
        (profiled(bert(1)), replace(profiled(bert(2)), layers=())),
        (profiled(bert(1)), incomparable(bert(2))),
        (profiled(bert(1)), profiled(bert(1))),
        (profiled(bert(1)), replace(profiled(bert(2)), measurements={})),
    ],
    ids=["no layers before", "no layers after", "another feed", "no change", "no numbers"],
)
def test_nothing_is_told_where_nothing_is_known(before: Profile, after: Profile) -> None:
    assert not where(before, after)["macs"]


def test_a_trial_is_told_like_two_profiles() -> None:
    before, after = profiled(bert(1)), profiled(bert(1, ffn=300))
    trial = nouns.trial((), before, after)
    found = attribute(before, after, compare_trial(trial))
    assert [(one.path, one.share) for one in found["macs"].where] == [("encoder/layer.0/ffn", 1.0)]
    assert set(found) == set(compare_trial(trial))


# --- one model -------------------------------------------------------------------------------------


def lines(branch: Branch, depth: int = 0) -> list[str]:
    inner = [line for part in branch.parts for line in lines(part, depth + 1)]
    return [f"{'  ' * depth}{branch.path} {branch.sums.macs}", *inner]


def test_an_outline_folds_equal_siblings_and_stands_largest_first() -> None:
    assert lines(outline(bert(3))) == [
        " 1853",
        "  encoder/layer.0-2 1803",
        "    ffn 1200",
        "      down/MatMul 600",
        "      up/MatMul 600",
        "    attention 603",
        "      value/MatMul 303",
        "      query 300",
        "        MatMul 300",
        "        Add 0",
        "  head/Gemm 50",
    ]


def test_siblings_that_differ_by_more_than_a_number_stand_apart() -> None:
    odd = [replace(one, macs=201) if one.name == "/encoder/layer.1/ffn/up/MatMul" else one for one in bert(3)]
    assert [part.path for part in outline(odd).parts[0].parts] == ["0,2", "1"]


def test_nodes_without_module_names_stand_under_their_operators() -> None:
    layers = [mm(f"node_{index}", 10 + index % 2, "Conv") for index in range(4)] + [mm("", 5, "Gemm")]
    assert lines(outline(layers)) == [" 47", "  Conv 42", "    node_1,3 22", "    node_0,2 20", "  Gemm 5"]


def test_what_is_not_known_is_counted_beside_the_sum() -> None:
    found = outline([mm("/a/x/Foo", None, "Foo"), mm("/a/y/MatMul", 10)])
    assert (found.sums.macs, found.sums.unknown, found.sums.layers) == (10, 1, 2)
    assert [(part.path, part.sums.unknown) for part in found.parts[0].parts] == [("y/MatMul", 0), ("x/Foo", 1)]


def test_a_module_that_is_also_a_node_has_it_as_a_part() -> None:
    found = outline([mm("a", 5, "Gemm"), mm("a/b", 7), mm("a/b", 1)])
    assert [(part.path, part.sums.macs) for part in found.parts[0].parts] == [("b", 8), ("Gemm", 5)]


def test_no_layers_are_an_outline_of_nothing() -> None:
    assert outline([]) == Branch("", outline([]).sums)
    assert outline([]).sums.layers == 0


@given(networks)
def test_parts_sum_to_the_whole_at_every_branch(layers: list[Layer]) -> None:
    whole = outline(layers)
    assert (whole.sums.layers, whole.sums.macs) == (len(layers), sums(layers)["macs"])
    assert (whole.sums.params, whole.sums.weight_bytes) == (sums(layers)["params"], sums(layers)["size"])
    assert whole.sums.activation_bytes == sums(layers)["activation_memory"]
    todo = [whole]
    while todo:
        branch = todo.pop()
        todo += branch.parts
        if branch.parts:
            assert branch.sums.macs == sum(part.sums.macs for part in branch.parts)
            assert branch.sums.layers == sum(part.sums.layers for part in branch.parts)
        assert [part.sums.macs for part in branch.parts] == sorted((p.sums.macs for p in branch.parts), reverse=True)


# --- size ------------------------------------------------------------------------------------------


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def enormous(count: int, name: Callable[[int], str], extra: int = 0) -> list[Layer]:
    ops = ("MatMul", "Add", "Gelu", "MatMul", "Add")
    return [Layer(name(index), ops[index % 5], 1000 * (index % 5) + extra, 10, 40, index % 7) for index in range(count)]


NAMES: dict[str, Callable[[int], str]] = {
    "modules": lambda index: f"net/layer.{index // 50}/block.{index % 50 // 5}/MatMul_{index % 5}",
    "renamed": lambda index: f"tower/x/y/part.{index // 50}/piece.{index % 50 // 5}/fc{index % 5}",
    "counted": lambda index: f"node_{index + 7}",
    "unique": lambda index: f"w{index}x",
    "none": lambda _: "",
}


@pytest.mark.parametrize("after", NAMES)
@pytest.mark.parametrize("before", ["modules", "none"])
def test_the_cost_is_close_to_linear(before: str, after: str) -> None:
    """Four times the layers may take at most eight times as long; each with each it would be sixteen."""
    spent = []
    for count in (3_000, 12_000):
        old, new = enormous(count, NAMES[before]), enormous(count - 300, NAMES[after], extra=1)
        spent.append(min(seconds(lambda: attribution(old, new, "macs")) for _ in range(2 if count == 3_000 else 1)))  # noqa: B023
    assert spent[1] < 8 * spent[0] + 1


def test_200_000_layers_are_told_and_outlined_in_bounded_time() -> None:
    layers = enormous(200_000, NAMES["modules"])
    grown = [*layers, Layer("head/MatMul", "MatMul", 5)]
    found: list[tuple[Contribution, ...]] = []
    assert seconds(lambda: found.append(attribution(layers, grown, "macs"))) < 60
    assert told(found[0]) == [("head", 5)]
