"""The two doors: what is read, what is refused and with which words, what is written."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greengate.metrics import METRICS
from greengate.units import (
    EXAMPLES,
    MEASURES,
    UNITS,
    Delta,
    Dimension,
    QuantityError,
    delta_pattern,
    format_apart,
    format_change,
    format_quantity,
    parse_delta,
    parse_quantity,
    quantity_pattern,
    shown_unit,
)

DIMENSIONS = st.sampled_from(list(UNITS))


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("45 ms", "time", 0.045),
        ("45ms", "time", 0.045),
        ("45\u00a0ms", "time", 0.045),
        ("+45  ms", "time", 0.045),
        ("1_000 ns", "time", 1e-6),
        ("3 us", "time", 3e-6),
        ("3 \u00b5s", "time", 3e-6),
        ("3 \u03bcs", "time", 3e-6),
        (".5 s", "time", 0.5),
        ("5. s", "time", 5.0),
        ("2e-3 s", "time", 0.002),
        ("120 MB", "bytes", 120e6),
        ("120 MiB", "bytes", 120 * 2**20),
        ("7 B", "bytes", 7.0),
        ("7 kB", "bytes", 7000.0),
        ("7 KiB", "bytes", 7168.0),
        ("7 GB", "bytes", 7e9),
        ("7 GiB", "bytes", 7 * 2**30),
        ("1 MAC", "macs", 1.0),
        ("1 MMAC", "macs", 1e6),
        ("1.5 GMACs", "macs", 1.5e9),
        ("3 GFLOP", "macs", 1.5e9),
        ("1 TFLOPs", "flops", 1e12),
        ("1 KMAC", "flops", 2000.0),
        ("25 M", "count", 25e6),
        ("25G", "count", 25e9),
        ("25", "count", 25.0),
        ("200/s", "rate", 200.0),
        ("3 J", "energy", 3.0),
        ("1 mWh", "energy", 3.6),
        ("1 Wh", "energy", 3600.0),
        ("1 kWh", "energy", 3.6e6),
        ("3 g", "mass", 0.003),
        ("3 kg", "mass", 3.0),
        ("0.95", "ratio", 0.95),
        ("-3 ms", "time", -0.003),
        ("0 ms", "time", 0.0),
    ],
)
def test_quantities(text: str, dimension: Dimension, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "code", "message", "help"),
    [
        ("45 parsecs", "time", "unknown-unit", "'parsecs' is not a unit of time", "use one of ns, us, ms, s"),
        ("45 min", "time", "unknown-unit", "'min' is not a unit of time", "use one of ns, us, ms, s"),
        ("45 MS", "time", "unknown-unit", "'MS' is not a unit of time", "write `ms`"),
        ("120 mb", "bytes", "unknown-unit", "'mb' is not a unit of memory", "write `MB`"),
        ("120 MB", "time", "unknown-unit", "'MB' is not a unit of time", "use one of"),
        ("4 GFLOPS", "flops", "unknown-unit", "'GFLOPS' is not a unit of operations", "write `GFLOP`, operations"),
        ("4 GFLOPS", "bytes", "unknown-unit", "'GFLOPS' is not a unit of memory", "use one of B, kB"),
        ("5 ms", "ratio", "unknown-unit", "'ms' is not a unit of a ratio", "write the number alone"),
        ("5 k", "count", "unknown-unit", "'k' is not a unit of a count", "write `K`"),
        ("5%", "time", "unknown-unit", "'%' is not a unit of time", "use one of"),
        ("45", "time", "missing-unit", "'45' needs a unit of time", "write for example `45 ms`"),
        ("200", "rate", "missing-unit", "'200' needs a unit of a rate", "`200/s`"),
        ("95%", "ratio", "percent-of-ratio", "ambiguous", "`0.95`"),
        ("ms", "time", "bad-number", "'ms' is not a number", "`45 ms`"),
        ("", "time", "bad-number", "'' is not a number", "`45 ms`"),
        ("1,5 ms", "time", "bad-number", "'1,5 ms'", "write a point for decimals"),
        ("1_00 ms", "time", "bad-number", "'1_00 ms'", "`45 ms`"),
        ("1e999 ms", "time", "bad-number", "'1e999 ms'", "`45 ms`"),
        ("1e999", "count", "bad-number", "'1e999'", "`25 M`"),
        ("inf ms", "time", "bad-number", "'inf ms'", "`45 ms`"),
        ("nan", "count", "bad-number", "'nan'", "`25 M`"),
        ("1 2 ms", "time", "bad-number", "'1 2 ms'", "`45 ms`"),
        ("\u0663 ms", "time", "bad-number", "is not a number", "`45 ms`"),
        ("45 ms\n", "time", "bad-number", "is not a number", "`45 ms`"),
        ("9" * 300, "time", "bad-number", "'" + "9" * 40 + "...'", "`45 ms`"),
    ],
)
def test_refused_quantities(text: str, dimension: Dimension, code: str, message: str, help: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(text, dimension)
    assert caught.value.code == code
    assert message in caught.value.message
    assert help in caught.value.help


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("5%", "time", Delta(0.05, True)),
        ("+5 %", "bytes", Delta(0.05, True)),
        ("-5%", "bytes", Delta(-0.05, True)),
        ("0.5 pp", "ratio", Delta(0.005, False)),
        ("0.5pp", "ratio", Delta(0.005, False)),
    ],
)
def test_deltas(text: str, dimension: Dimension, expected: Delta) -> None:
    assert parse_delta(text, dimension) == expected


@pytest.mark.parametrize(
    ("text", "dimension", "code", "help"),
    [
        ("5%", "ratio", "percent-of-ratio", "`5 pp`"),
        ("5 pp", "time", "unknown-unit", "`5%`"),
        ("5", "time", "missing-unit", "`5%`"),
        ("0.005", "ratio", "missing-unit", "`0.5 pp`"),
        ("5 ms", "time", "unknown-unit", "`5%`"),
        ("5 percent", "time", "unknown-unit", "`5%`"),
        ("5 percent", "ratio", "unknown-unit", "`0.5 pp`"),
        ("much", "time", "bad-number", "`5%`"),
        ("0,5 pp", "ratio", "bad-number", "write a point for decimals"),
    ],
)
def test_refused_deltas(text: str, dimension: Dimension, code: str, help: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_delta(text, dimension)
    assert caught.value.code == code
    assert help in caught.value.help


def test_every_dimension_has_units_words_and_an_example() -> None:
    assert UNITS.keys() == MEASURES.keys() == EXAMPLES.keys()
    assert {metric.dimension for metric in METRICS.values()} <= UNITS.keys()
    for dimension, text in EXAMPLES.items():
        assert re.search(quantity_pattern(dimension), text)
        assert parse_quantity(text, dimension) > 0


TEXTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "+", "-"]),
    st.sampled_from(
        ["0", "00", "7", "0.0", "0.30", ".5", "5.", "1_000", "1e3", "0e3", "99", "100", "099.9", "1_0", "x"]
    )
    | st.floats(0, 1e30).map(repr)
    | st.integers(0, 10**45).map(str),
    st.sampled_from(["", " ", "\u00a0", "\n"]),
    st.sampled_from(["", "%", "pp", "ms", "µs", "MB", "GFLOPs", "/s", "M", "Wh", "kg", "ms\n", "x"]),
)


@settings(max_examples=400)
@given(TEXTS, DIMENSIONS)
@example("45 ms\n", "time")
@example("0e3 ms", "time")
@example("1e0\u00a0MB", "bytes")
def test_the_pattern_knows_the_positive_quantities(text: str, dimension: Dimension) -> None:
    try:
        value = parse_quantity(text, dimension)
    except QuantityError:
        value = None
    assert (re.search(quantity_pattern(dimension), text) is not None) == (value is not None and value > 0)
    assert (re.search(quantity_pattern(dimension, signed=True), text) is not None) == (value is not None)


@settings(max_examples=400)
@given(TEXTS, DIMENSIONS, st.booleans(), st.booleans())
@example("5%\n", "time", False, False)
@example("099.9 pp", "ratio", True, True)
@example("100%", "time", False, True)
@example("-0%", "time", False, False)
def test_the_pattern_knows_the_changes(text: str, dimension: Dimension, positive: bool, below_100: bool) -> None:
    try:
        value = parse_delta(text, dimension).value
        fits = not text.startswith("-") and (value > 0 or not positive) and (value < 1 or not below_100)
    except QuantityError:
        fits = False
    assert (re.search(delta_pattern(dimension, positive, below_100), text) is not None) == fits


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (0.045, "time", "45.0 ms"),
        (1.5, "time", "1.50 s"),
        (9.999e-3, "time", "10.0 ms"),
        (0.9999996, "time", "1,000 ms"),
        (3e-10, "time", "0.300 ns"),
        (120e6, "bytes", "120 MB"),
        (123.456e9, "bytes", "123 GB"),
        (1234, "count", "1.23 K"),
        (7, "count", "7.00"),
        (-0.045, "time", "-45.0 ms"),
        (0, "time", "0 ns"),
        (3.6, "energy", "1.00 mWh"),
        (0.003, "mass", "3.00 g"),
        (213.4, "rate", "213/s"),
        (0.9431, "ratio", "0.943"),
        (5e15, "flops", "5,000 TFLOP"),
    ],
)
def test_written_quantities(value: float, dimension: Dimension, text: str) -> None:
    assert format_quantity(value, dimension) == text


def test_a_table_shares_one_unit() -> None:
    unit = shown_unit([0.9, 0.0, 0.045, 0.0451], "time")
    assert unit == "ms"
    assert format_quantity(0.9, "time", unit) == "900 ms"
    assert shown_unit([], "bytes") == "B"
    assert shown_unit([-2.0], "time") == "s"


@given(st.floats(1e-9, 1e15), DIMENSIONS, st.integers(2, 12))
def test_what_is_written_can_be_read(value: float, dimension: Dimension, digits: int) -> None:
    text = format_quantity(value, dimension, digits=digits).replace(",", "")
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=0.6 * 10 ** (1 - digits))


@given(st.floats(1e-6, 1e12), st.integers(2, 8))
def test_written_numbers_have_their_digits(value: float, digits: int) -> None:
    number = format_quantity(value, "ratio", digits=digits).replace(",", "")
    if "." in number:
        assert len(number.replace(".", "").lstrip("0")) == digits


@pytest.mark.parametrize(
    ("value", "relative", "digits", "text"),
    [
        (0.05, True, 1, "+5.0 %"),
        (-0.0512, True, 2, "-5.12 %"),
        (0.005, False, 1, "+0.5 pp"),
        (0.00001, True, 1, "0.0 %"),
        (-0.00001, True, 1, "0.0 %"),
        (12.0, True, 0, "+1,200 %"),
    ],
)
def test_written_changes(value: float, relative: bool, digits: int, text: str) -> None:
    assert format_change(value, relative, digits) == text


@given(st.floats(-2, 2), st.floats(-2, 2), st.booleans())
def test_changes_that_differ_are_written_apart(left: float, right: float, relative: bool) -> None:
    written = format_apart(left, right, relative)
    if abs(left - right) > 1e-15:
        assert written[0] != written[1]
    if left == right:
        assert written == (format_change(left, relative), format_change(right, relative))


def test_changes_are_written_no_longer_than_they_must() -> None:
    assert format_apart(0.05001, 0.05) == ("+5.001 %", "+5.000 %")
    assert format_apart(0.12, 0.05) == ("+12.0 %", "+5.0 %")
