"""YAML with places: what nodes know, what is refused, and that both parsers of PyYAML see the same."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from greengate import yamlspan
from greengate.errors import GreengateError
from greengate.yamlspan import Mapping, Node, Scalar, Sequence, YamlError

FILES = sorted(Path(__file__).parent.glob("budget_file/*/*.yaml"))


def mistakes(text: str) -> list[tuple[str, int, int]]:
    with pytest.raises(YamlError) as caught:
        yamlspan.parse(text, "b.yaml")
    return [
        (item.code, item.span.line, item.span.column) if item.span else (item.code, 0, 0)
        for item in caught.value.diagnostics
    ]


def scalar(text: str) -> Scalar:
    node = yamlspan.parse(f"key: {text}", "b.yaml")
    assert isinstance(node, Mapping)
    value = node.get("key")
    assert isinstance(value, Scalar)
    return value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("plain words", "str", "plain words"),
        ("on", "str", "on"),
        ("No", "str", "No"),
        ("yes", "str", "yes"),
        ("1_000", "str", "1_000"),
        ("12:30:45", "str", "12:30:45"),
        ("5%", "str", "5%"),
        ("'5'", "str", "5"),
        ('"5"', "str", "5"),
        ("'true'", "str", "true"),
        ("'2027-01-31'", "str", "2027-01-31"),
        ("''", "str", ""),
        ("", "null", None),
        ("~", "null", None),
        ("Null", "null", None),
        ("true", "bool", True),
        ("FALSE", "bool", False),
        ("tRue", "str", "tRue"),
        ("5", "int", 5),
        ("-5", "int", -5),
        ("+5", "int", 5),
        ("010", "int", 10),
        ("0x10", "int", 16),
        ("0o17", "int", 15),
        ("0b11", "str", "0b11"),
        ("1.5", "float", 1.5),
        ("1e3", "float", 1000.0),
        (".5", "float", 0.5),
        ("5.", "float", 5.0),
        ("1E-2", "float", 0.01),
        ("1e999", "str", "1e999"),
        (".inf", "str", ".inf"),
        (".nan", "str", ".nan"),
        ("9" * 100, "int", int("9" * 100)),
        ("9" * 200, "float", float("9" * 200)),
        ("9" * 5000, "str", "9" * 5000),
        ("٣", "str", "٣"),
        ("2027-01-31", "date", "2027-01-31"),
        ("2027-02-31", "str", "2027-02-31"),
        ("2027-1-3", "str", "2027-1-3"),
        ("2027-01-31 12:00:00", "str", "2027-01-31 12:00:00"),
        ("|\n  two\n  lines\n", "str", "two\nlines\n"),
        ('"\\u00e9"', "str", "é"),
    ],
)
def test_scalars(text: str, kind: str, value: object) -> None:
    node = scalar(text)
    assert (node.kind, node.value) == (kind, value)
    assert type(node.value) is type(value)


def test_places() -> None:
    text = "first: 1\nlist:\n  - é: 'quoted'   # why\n    more: [a, {b: c}]\n  -\nlast: plain\n  goes on\n"
    root = yamlspan.parse(text, "b.yaml")
    assert isinstance(root, Mapping)
    assert [(key.text, str(key.span), key.span.length) for key, _ in root.pairs] == [
        ("first", "b.yaml:1:1", 5),
        ("list", "b.yaml:2:1", 4),
        ("last", "b.yaml:6:1", 4),
    ]
    items = root.get("list")
    assert isinstance(items, Sequence)
    assert (str(items.span), items.span.length, items.span.source) == ("b.yaml:3:3", 13, "  - é: 'quoted'   # why")
    first, empty = items.items
    assert isinstance(first, Mapping)
    assert (str(first.span), first.span.length) == ("b.yaml:3:5", 11)
    quoted, more = first.get("é"), first.get("more")
    assert quoted is not None
    assert more is not None
    assert (str(quoted.span), quoted.span.length) == ("b.yaml:3:8", 8)
    assert (str(more.span), more.span.length, more.span.source) == ("b.yaml:4:11", 11, "    more: [a, {b: c}]")
    assert isinstance(empty, Scalar)
    assert (empty.kind, str(empty.span)) == ("null", "b.yaml:5:4")
    last = root.get("last")
    assert last is not None
    assert (str(last.span), last.span.length) == ("b.yaml:6:7", 5)
    assert root.get("absent") is None


def test_plain_data() -> None:
    text = "a: [1, 2.5, {b: true}, ~]\n5: x\nday: 2027-01-31\n"
    expected = {"a": [1, 2.5, {"b": True}, None], "5": "x", "day": "2027-01-31"}
    assert yamlspan.data(yamlspan.parse(text, "b.yaml")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("empty-file", 0, 0)]),
        ("\n# only this\n", [("empty-file", 0, 0)]),
        ("---\n...\n", []),
        ("a: 1\na: 2\nb: {c: 1, c: 2}\n", [("duplicate-key", 2, 1), ("duplicate-key", 3, 11)]),
        ("a: 1\n'a': 2\n", [("duplicate-key", 2, 1)]),
        ("a: &x 1\nb: *x\n", [("yaml-alias", 1, 4), ("yaml-alias", 2, 4)]),
        ("a: &x [1]\n", [("yaml-alias", 1, 4)]),
        ("<<: {a: 1}\n", [("yaml-alias", 1, 1)]),
        ("a: !!int 5\n", [("yaml-tag", 1, 4)]),
        ("a: ! 5\n", [("yaml-tag", 1, 4)]),
        ("a: !mine [1]\n", [("yaml-tag", 1, 4)]),
        ("a: 1\n---\nb: 1\n", [("yaml-documents", 2, 1)]),
        ("a:\n\tb: 1\n", [("yaml-tab", 2, 1)]),
        ("a:\n  \tb: 1\n", [("yaml-tab", 2, 3)]),
        ("a: {b: 1,\n\tc: 2}\n\n\td: 1\n", [("yaml-tab", 2, 1), ("yaml-tab", 4, 1)]),
        ("a: b\n\tc\n", [("yaml-tab", 2, 1)]),
        ("a: 1\n\t\nb: 2\n", [("yaml-tab", 2, 1)]),
        ("\t# a comment\na: 1\n", [("yaml-tab", 1, 1)]),
        ("a: 1\na: 2\nb: [\n", [("duplicate-key", 2, 1), ("bad-yaml", 3, 5)]),
        ("? [a]\n: 1\n", [("bad-yaml", 1, 3)]),
        ("{a: 1}: 2\n", [("bad-yaml", 1, 1)]),
        ("a: \x00\n", [("bad-yaml", 1, 4)]),
        ("\n\na: b\x07\n", [("bad-yaml", 3, 5)]),
        ("a: \ud800\n", [("bad-yaml", 1, 4)]),
        ("a: 'open\nb: 1\n\n\n", [("bad-yaml", 1, 4)]),
        ("a: [1, 2\n", [("bad-yaml", 1, 9)]),
        ("a: 1\n  b: 2\n", [("bad-yaml", 2, 4)]),
        ("[" * 5000, [("yaml-too-deep", 1, 51)]),
        ("{a: " * 5000, [("yaml-too-deep", 1, 201)]),
        ("- " * 5000, [("yaml-too-deep", 1, 101)]),
        ("? " * 5000, [("yaml-too-deep", 1, 101)]),
        ("#" * (yamlspan.MAX_BYTES + 1), [("yaml-too-large", 0, 0)]),
        ("é" * (yamlspan.MAX_BYTES // 2 + 1), [("yaml-too-large", 0, 0)]),
    ],
)
def test_refusals(text: str, expected: list[tuple[str, int, int]]) -> None:
    if not expected:
        assert yamlspan.data(yamlspan.parse(text, "b.yaml")) is None
        return
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: |\n  if x:\n  \ty\n",
        "a: 'one\n\ttwo'\n",
        "a: 1\t# a comment\n",
        "a:\t1\n",
        "# a\ttab\na: 1\n",
    ],
)
def test_tabs_that_do_not_indent_are_fine(text: str) -> None:
    assert isinstance(yamlspan.parse(text, "b.yaml"), Mapping)


def test_a_bomb_is_told_a_hundred_times_at_most() -> None:
    bomb = "a: &a [x]\nb: [" + "*a, " * 200_000 + "]\n"
    assert len(mistakes(bomb)) == yamlspan.MAX_MISTAKES


def test_nested_aliases_are_never_expanded() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert {code for code, _, _ in mistakes(bomb)} == {"yaml-alias"}


def test_bytes_that_are_not_utf_8() -> None:
    with pytest.raises(YamlError, match="the byte 0xe8 is not UTF-8") as caught:
        yamlspan.decode("a: 1\nb: é \x07".encode() + b"\xe8 x\nc: 1", "b.yaml")
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (str(found.span), found.span.source) == ("b.yaml:2:7", "b: é \ufffd\ufffd x")
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        with pytest.raises(YamlError, match=r"bad-encoding|cannot stand"):
            yamlspan.parse(yamlspan.decode("a: 1\n".encode(encoding), "b.yaml"), "b.yaml")


def test_byte_order_marks_and_line_breaks() -> None:
    plain = yamlspan.parse("a: 1\nb: 2\n", "b.yaml")
    assert yamlspan.parse(yamlspan.decode(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "b.yaml"), "b.yaml") == plain
    assert yamlspan.parse("\ufeffa: 1\rb: 2", "b.yaml") == plain
    assert mistakes("a: 1\u2028a: 2") == [("duplicate-key", 2, 1)]


def test_load(tmp_path: Path) -> None:
    path = tmp_path / "x.fake.yaml"
    path.write_text("a: 1\n")
    assert yamlspan.load(path, "x").span.file == "x"
    assert yamlspan.load(path).span.file == str(path)
    with pytest.raises(GreengateError, match=r"unreadable-file.*: cannot read gone: no such file"):
        yamlspan.load(tmp_path / "gone", "gone")
    with pytest.raises(YamlError, match="is a directory"):
        yamlspan.load(tmp_path)
    path.write_bytes(b"a" * (yamlspan.MAX_BYTES + 1))
    with pytest.raises(YamlError, match="yaml-too-large"):
        yamlspan.load(path)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(YamlError, match="yaml-too-large"):
        yamlspan.load(Path("/dev/zero"))


def test_importing_it_does_not_import_yaml() -> None:
    code = "import sys, greengate.budget_file; print({'yaml', 'numpy', 'onnx', 'rich', 'jinja2'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"


def examined(text: str, monkeypatch: pytest.MonkeyPatch, pure: bool) -> tuple[Node | None, list[str]]:
    with monkeypatch.context() as patch:
        if pure:
            patch.delattr(yaml, "CSafeLoader")
        node, found = yamlspan.examine(text, "b.yaml")
    return node, [item.code for item in found]


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML is built without libyaml")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_parsers_see_the_same_nodes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    assert examined(text, monkeypatch, pure=False) == examined(text, monkeypatch, pure=True)


#: Texts that PyYAML's own dump writes faithfully: it folds the line breaks of YAML 1.1 in quotes.
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff"), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS.filter(lambda key: key != "<<"), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(TREES, st.sampled_from([None, True, False]), st.integers(20, 90))
def test_what_pyyaml_writes_is_read_back_quoted_or_not(tree: Any, flow: bool | None, width: int) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, width=width, allow_unicode=True)
    node, found = yamlspan.examine(text, "b.yaml")
    # The dump writes 1.1: a few plain texts mean something else in 1.2, but the structure is the same.
    assert [item.code for item in found] == []
    assert node is not None
    assert shape(yamlspan.data(node)) == shape(tree)


def shape(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in tree.items()}
    return [shape(item) for item in tree] if isinstance(tree, list) else None


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-?[]{}#&*!|>'\"%@` \n\t,1.~<\x85\u2028é\\", max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    node, found = yamlspan.examine(text, "b.yaml")
    assert (node is None) <= bool(found)
    lines = text.count("\n") + text.count("\x85") + text.count("\u2028") + 1
    for item in found:
        assert item.help
        assert item.span is None or (
            1 <= item.span.line <= lines and 1 <= item.span.column <= len(item.span.source) + 1
        )
        assert str(item)


def test_what_a_parser_says_that_nobody_put_in_plain_words_is_told_as_it_is() -> None:
    _, (mistake,) = yamlspan.examine("a: !<bad\n", "f.yaml")
    assert (mistake.code, mistake.help) == ("bad-yaml", "see the YAML reference")
    assert mistake.message.startswith(("did not find the expected '>'", "expected '>'"))
    assert "\n" not in mistake.message


def test_a_merge_of_mappings_says_what_to_write() -> None:
    _, (mistake,) = yamlspan.examine("a:\n  <<: {b: 1}\n", "f.yaml")
    assert (mistake.code, str(mistake.span)) == ("yaml-alias", "f.yaml:2:3")
    assert (mistake.message, mistake.help) == ("`<<` merges another mapping", "write the keys out")


def test_a_text_of_several_lines_is_marked_to_the_end_of_its_first() -> None:
    node = yamlspan.parse("a: 'one two\n  three'\n", "f.yaml")
    assert isinstance(node, Mapping)
    assert [(value.span.line, value.span.column, value.span.length) for _, value in node.pairs] == [(1, 4, 8)]
