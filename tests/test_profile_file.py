"""Profiles and trials survive their files exactly; every damage is named with its place."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import string
from pathlib import Path
from typing import Any, get_args

import nouns
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate import codec, profile_file
from greengate.errors import GreengateError
from greengate.profile import File, Layer, Method, Missing, MissingKind, Profile, Trial, digest_files

PROFILE = nouns.profile(
    {
        "size": nouns.exact(100.0),
        "latency_p50": nouns.noisy(1e-3, 0.9e-3, 1.1e-3),
        "macs": Missing("op Foo", "unsupported", "wait"),
    }
)
TRIAL = nouns.trial(nouns.launches(2, 1.05, calls=3), PROFILE, PROFILE)
HERE = Path(__file__).parent

text = st.text(max_size=8)
counts = st.integers(0, 10**30)
finite = st.floats(allow_nan=False, allow_infinity=False)
measurements = st.dictionaries(
    text,
    st.builds(
        nouns.Measurement,
        finite,
        st.sampled_from(get_args(Method)),
        st.none() | st.builds(nouns.Interval, finite, finite, finite),
        st.integers(),
        text,
    )
    | st.builds(Missing, text, st.sampled_from([kind for kind in get_args(MissingKind) if kind != "unchanged"]), text),
    max_size=3,
)
profiles = st.builds(
    Profile,
    st.builds(
        nouns.Model,
        text,
        text,
        text,
        text,
        st.lists(st.builds(nouns.File, text, text, st.integers()), max_size=2).map(tuple),
    ),
    st.builds(
        nouns.Hardware,
        text,
        text,
        st.integers(),
        st.lists(text, max_size=2).map(tuple),
        st.integers(),
        text,
        st.lists(text, max_size=2).map(tuple),
    ),
    st.builds(
        nouns.Workload,
        st.integers(),
        st.integers(),
        st.integers(),
        st.lists(
            st.builds(nouns.Input, text, text, st.lists(st.integers(), max_size=3).map(tuple), text), max_size=2
        ).map(tuple),
        text,
        text,
    ),
    st.dictionaries(text, text, max_size=2),
    measurements,
    text,
    text,
    st.lists(text, max_size=2).map(tuple),
    st.lists(
        st.builds(Layer, text, text, st.none() | counts, counts, counts, counts),
        max_size=3,
    ).map(tuple),
)
launches = st.builds(
    nouns.Launch,
    st.integers(),
    st.permutations(["baseline", "candidate"]).map(tuple),
    st.dictionaries(
        text, st.dictionaries(text, st.lists(st.integers(), max_size=4).map(tuple), max_size=2), max_size=2
    ),
    finite,
)
trials = st.builds(
    Trial,
    profiles,
    profiles,
    st.lists(launches, max_size=2).map(tuple),
    st.sampled_from(["precision", "time", "failure", "none"]),
    finite,
    st.lists(text, max_size=2).map(tuple),
)


@settings(deadline=None)
@given(profiles)
def test_a_profile_comes_back_as_it_was(profile: Profile) -> None:
    assert profile_file.load(profile_file.dump_profile(profile), "p.json") == profile


@settings(max_examples=50, deadline=None)
@given(trials)
def test_a_trial_comes_back_as_it_was(trial: Trial) -> None:
    assert profile_file.load(profile_file.dump_trial(trial), "t.json") == trial


LAYERS = (
    Layer("/encoder/layer.0/ffn/MatMul", "MatMul", 1_000_000, 300, 1200, 64),
    Layer("/encoder/layer.0/ffn/Add", "Add", 0, activation_bytes=64),
    Layer('/odd \u2028 "name"', "Fancy", None),
)


def test_files_have_the_digest_of_what_sha256sum_prints_for_them() -> None:
    one, two = File("m.onnx", "a" * 64, 100), File("m.onnx.data", "b" * 64, 200)
    assert digest_files((one,)) == "sha256:" + "a" * 64
    printed = f"{'a' * 64}  m.onnx\n{'b' * 64}  m.onnx.data\n"
    assert digest_files((one, two)) == f"sha256:{hashlib.sha256(printed.encode()).hexdigest()}"


def test_a_layer_stands_on_one_line_without_its_zeros() -> None:
    text = profile_file.dump_profile(dataclasses.replace(PROFILE, layers=LAYERS))
    assert text.endswith("""
  "layers": [
    {"name": "/encoder/layer.0/ffn/MatMul", "op": "MatMul", "macs": 1000000, "params": 300, "weight_bytes": 1200, \
"activation_bytes": 64},
    {"name": "/encoder/layer.0/ffn/Add", "op": "Add", "macs": 0, "activation_bytes": 64},
    {"name": "/odd \u2028 \\"name\\"", "op": "Fancy", "macs": null}
  ],
  "launches": [],
  "looks": [],
  "power": null,
  "simulation": null,
  "answers": {},
  "calibrated": null,
  "trained": null
}
""")
    assert profile_file.load(text, "p.json").layers == LAYERS  # type: ignore[union-attr]


def test_layers_stand_on_lines_of_their_own_in_every_kind_of_file() -> None:
    profile = dataclasses.replace(PROFILE, layers=LAYERS)
    texts = [profile_file.dump_trial(dataclasses.replace(TRIAL, baseline=profile, candidate=profile))]
    texts.append(profile_file.dump("greengate.baseline/1", {"profile": codec.encode(profile)}))
    for text in texts:
        assert text.count('{"name": "/encoder/layer.0/ffn/Add", "op": "Add", "macs": 0, "activation_bytes": 64},\n')


def test_a_large_model_makes_a_file_of_reasonable_size() -> None:
    layers = [Layer(f"/encoder/layer.{index}/attention/self/query/MatMul", "MatMul", index) for index in range(2000)]
    text = profile_file.dump_profile(dataclasses.replace(PROFILE, layers=tuple(layers)))
    assert len(text) / len(layers) < 110


@given(text=st.text(string.printable, max_size=60))
def test_no_text_is_a_traceback(text: str) -> None:
    with pytest.raises(GreengateError, match="profile-invalid"):
        profile_file.load(text, "x.json")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_is_a_traceback(data: st.DataObject) -> None:
    """Any one value of a real file replaced by any JSON value: read as a noun again, or refused by name."""
    value = json.loads(profile_file.dump_trial(TRIAL))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(value)
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(
        st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | text, st.lists, max_leaves=3)
    )
    try:
        assert isinstance(profile_file.load(json.dumps(value), "t.json"), Profile | Trial)
    except GreengateError as error:
        assert {item.code for item in error.diagnostics} == {"profile-invalid"}


def test_a_file_is_readable_and_keeps_each_series_on_a_line() -> None:
    said = profile_file.dump_trial(TRIAL)
    lines = said.splitlines()
    series = TRIAL.launches[0].samples["baseline"]["wall"]
    assert lines[:3] == ["{", '  "schema": "greengate.trial/1",', '  "baseline": {']
    assert f'          "wall": {json.dumps(list(series))},' in lines
    assert '        "order": ["baseline", "candidate"],'[2:] in lines
    assert max(len(line) for line in profile_file.dump_profile(PROFILE).splitlines()) < 120
    assert said.endswith("}\n")
    assert json.loads(said) == {"schema": "greengate.trial/1", **codec.encode(TRIAL)}


def test_the_format_does_not_drift(golden: Any) -> None:
    golden(HERE / "golden" / "profile.json", profile_file.dump_profile(PROFILE))


def test_a_number_that_is_not_finite_is_never_written() -> None:
    broken = dataclasses.replace(PROFILE, measurements={"size": nouns.exact(math.inf)})
    with pytest.raises(codec.CodecError):
        profile_file.dump_profile(broken)


def without(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


GOOD = profile_file.dump_profile(PROFILE)
BAD = {
    "empty": ("", "not valid JSON: expecting value", "p.json:1:1"),
    "cut": (GOOD[: len(GOOD) // 2], "not valid JSON: ", f"p.json:{GOOD[: len(GOOD) // 2].count(chr(10)) + 1}:"),
    "colon": (
        without(GOOD, '"size": 100', '"size" 100'),
        "not valid JSON: expecting ':' delimiter",
        " | " + " " * 15 + "^",
    ),
    "bom": ("\ufeff" + GOOD, "BOM", "p.json:1:1"),
    "list": ("[]", "p.json: $: expected an object", ""),
    "no schema": (without(GOOD, '"schema": "greengate.profile/1",', ""), "p.json: $.schema: is missing", ""),
    "other schema": (
        without(GOOD, "greengate.profile/1", "other/1"),
        "$.schema: 'other/1' is not a greengate format",
        "",
    ),
    "schema type": (without(GOOD, '"greengate.profile/1"', "1"), "$.schema: 1 is not a greengate format", ""),
    "future": (without(GOOD, "profile/1", "profile/2"), "'greengate.profile/2' is not a version", "update greengate"),
    "verdict": (without(GOOD, "profile/1", "verdict/1"), "holds a verdict, not a profile or a trial", ""),
    "trial's name": (without(GOOD, "profile/1", "trial/1"), "$.answers: is not a known field", ""),
    "unknown field": (without(GOOD, '"cores"', '"kernels"'), "$.hardware.kernels: is not a known field", ""),
    "missing field": (without(GOOD, '"cores": 2,', ""), "$.hardware.cores: is missing", ""),
    "deep type": (without(GOOD, '"size": 100', '"size": "100"'), "$.model.files[0].size: expected int, got str", ""),
    "bool for int": (without(GOOD, '"size": 100', '"size": true'), "$.model.files[0].size: expected int, got bool", ""),
    "method": (without(GOOD, '"executed"', '"guessed"'), "$.measurements.size.method: 'guessed' is not one of", ""),
    "nan": (without(GOOD, '"value": 100.0', '"value": NaN'), "p.json: NaN is not a finite number", ""),
    "infinity": (without(GOOD, '"value": 100.0', '"value": -Infinity'), "-Infinity is not a finite number", ""),
    "overflow": (without(GOOD, '"value": 100.0', '"value": 1e999'), "1e999 is not a finite number", ""),
    "huge int": (without(GOOD, '"value": 100.0', '"value": 1' + "0" * 400), "p.json: ", ""),
    "huger int": (without(GOOD, '"value": 100.0', '"value": 1' + "0" * 5000), "p.json: Exceeds the limit", ""),
    "twice": (without(GOOD, '"cores": 2,', '"cores": 2, "cores": 3,'), "'cores' stands twice in one object", ""),
    "deep": ("[" * 100_000, "nested too deeply", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_every_damage_is_named_with_its_place_and_a_next_step(name: str) -> None:
    content, message, place = BAD[name]
    with pytest.raises(GreengateError) as caught:
        profile_file.load(content, "p.json")
    (finding,) = caught.value.diagnostics
    assert finding.code == "profile-invalid"
    assert message in finding.message
    assert finding.help
    assert place in str(finding)


def test_a_long_line_is_not_shown() -> None:
    with pytest.raises(GreengateError) as caught:
        profile_file.load('{"schema": "' + "x" * 5000, "p.json")
    assert len(str(caught.value)) < 300


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(GOOD)
    assert profile_file.read(path) == PROFILE
    path.write_bytes(GOOD.encode().replace(b"Test CPU", b"Test \xff"))
    with pytest.raises(GreengateError, match=r"profile-invalid.*is not UTF-8 text"):
        profile_file.read(path)
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(GreengateError, match="unreadable-file"):
            profile_file.read(place)


def test_the_error_as_printed(golden: Any) -> None:
    with pytest.raises(GreengateError) as caught:
        profile_file.load(without(GOOD, '"size": 100', '"size" 100'), "p.json")
    golden(HERE / "golden" / "profile-invalid.txt", str(caught.value))
