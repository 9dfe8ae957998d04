"""What trainings emitted in a period: periods, records, and how the sum is judged."""

from __future__ import annotations

import datetime
from dataclasses import replace

import nouns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate import ledger
from greengate.budget import Carbon, CarbonBudget
from greengate.carbon import record
from greengate.carbon.record import Record, Spent
from greengate.errors import GreengateError, Span
from greengate.judge import judge
from greengate.ledger import Entry, Ledger
from greengate.profile import Measurement, Missing
from greengate.report.facts import carbon_texts
from greengate.verdict import Case, Outcome, Status
from greengate.verdict_file import comparison_of, dump, load

GRID = Carbon(100e-3 / 3.6e6, "made up 2025", Span("b.yaml", 1))
DOMAIN = Spent("powercap:package-0", "cpu", "counter", "package", 7.2e6, 90.0)
GOOD = Record(
    ("python",), 0, "host", "2026-11-05T10:00:00+00:00", 80.0, (DOMAIN,), (), 7.2e6, "counter", None, "made up", "0.1.0"
)


@pytest.mark.parametrize(
    ("period", "first", "after"),
    [
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2026-Q4", "2026-10-01", "2027-01-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
        ("2026-11", "2026-11-01", "2026-12-01"),
    ],
)
def test_a_period_has_a_first_day_and_one_after_it(period: str, first: str, after: str) -> None:
    assert [str(day) for day in ledger.bounds(period)] == [first, after]


@given(st.dates(datetime.date(1, 1, 1), datetime.date(9998, 12, 31)))
def test_every_day_lies_in_one_month_one_quarter_and_one_year(day: datetime.date) -> None:
    def holding(periods: list[str]) -> list[str]:
        return [one for one in periods if ledger.bounds(one)[0] <= day < ledger.bounds(one)[1]]

    year = f"{day.year:04}"
    assert holding([f"{year}-{month:02}" for month in range(1, 13)]) == [f"{year}-{day.month:02}"]
    assert holding([f"{year}-Q{quarter}" for quarter in range(1, 5)]) == [f"{year}-Q{(day.month + 2) // 3}"]
    assert holding([year]) == [year]


# --- reading ------------------------------------------------------------------------------------


def read(made: Record, name: str = "a.json", carbon: Carbon | None = GRID) -> Entry:
    (found,) = record.entries(name, record.dump(made).encode(), carbon)
    return found


def test_a_record_is_an_entry_by_the_day_it_began_in_utc() -> None:
    late = read(replace(GOOD, started="2026-12-31T23:30:00-02:00"))
    assert late.started == datetime.date(2027, 1, 1)
    assert isinstance(late.emitted, Measurement)
    assert late.emitted.value == pytest.approx(0.2)
    assert read(replace(GOOD, started="2026-11-05T10:00:00")).started == datetime.date(2026, 11, 5)


def test_what_a_record_tells_of_emissions_goes_before_the_budgets_intensity() -> None:
    found = read(replace(GOOD, kilograms=3.0)).emitted
    assert isinstance(found, Measurement)
    assert found.value == 3.0
    missing = read(GOOD, carbon=None).emitted
    assert isinstance(missing, Missing)
    assert "intensity" in missing.reason


def test_a_training_that_failed_emitted_as_well() -> None:
    assert isinstance(read(replace(GOOD, exit=137)).emitted, Measurement)


def test_a_record_without_joules_is_missing_by_its_reason() -> None:
    found = read(replace(GOOD, joules=None, method=None, absent=("powercap: no",))).emitted
    assert isinstance(found, Missing)
    assert "powercap: no" in found.reason


def test_the_same_record_is_the_same_training_however_it_is_written() -> None:
    one = record.dump(GOOD)
    other = one.replace("\n", "\n  ")
    assert one != other
    (first,), (second,) = (record.entries(name, text.encode(), GRID) for name, text in (("a", one), ("b", other)))
    assert first.digest == second.digest
    assert first.digest != read(replace(GOOD, seconds=81.0)).digest


CSV = "timestamp,run_id,duration,emissions,energy_consumed\n"


def test_a_run_of_codecarbon_began_its_duration_before_its_last_row() -> None:
    rows = (
        "2026-10-01T00:30:00,a,5460,1.0,2.0\n"
        "2026-10-01T00:59:00,a,7200,1.5,3.0\n"  # the total of the same run, which began in September
        "2026-10-01T02:00:00+00:00,b,60,0.5,1.0\n"
    )
    found = list(record.entries("e.csv", (CSV + rows).encode(), None))
    assert [str(one.started) for one in found] == ["2026-09-30", "2026-10-01"]
    assert [one.emitted.value for one in found if isinstance(one.emitted, Measurement)] == [1.5, 0.5]
    assert {one.emitted.method for one in found if isinstance(one.emitted, Measurement)} == {"estimated"}
    again = list(record.entries("copy.csv", (CSV + rows).encode(), None))
    assert [one.digest for one in again] == [one.digest for one in found]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "not valid JSON: expecting .*, in line 1"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", record.dump(GOOD).replace('"exit": 0', '"exit": 0, "exit": 0'), "'exit' stands twice"),
        ("a.json", record.dump(replace(GOOD, joules=1e300)), "joules cannot be"),
        ("a.json", record.dump(replace(GOOD, kilograms=1e300)), "kilograms cannot be"),
        ("a.json", record.dump(replace(GOOD, seconds=1e300)), "seconds cannot be"),
        ("e.csv", CSV + "2026-10-01,a,1,0.1,1e305\n", "line 2: 1e305 kWh and 0.1 kg cannot be"),
        ("e.csv", CSV + "2026-10-01,a,1,1e305,1\n", "cannot be"),
        ("e.csv", CSV + "2026-10-01,a,1e300,1,1\n", "a duration of 1e.300 s cannot be"),
        ("e.csv", CSV + "2026-10-01,a,-1,1,1\n", "a duration of -1.0 s cannot be"),
        ("e.csv", CSV + "2026-10-01,a,nan,1,1\n", "cannot be"),
        ("e.csv", CSV + "0001-01-01T00:00:00+23:00,a,1,1,1\n", "line 2"),
        ("e.csv", CSV + f"2026-10-01,a,1,1,1,{'x' * 200_000}\n", "line 2: field larger than field limit"),
        (
            "e.csv",
            CSV + '2026-10-01,a,1,1,1\n2026-10-01,b,1,1,"1\n2026-10-01,c,1,400,1\n',
            "line 3: unexpected end of data",
        ),
        ("a.json", "[]", "expected an object"),
        ("a.json", "{}", "its schema"),
        ("a.json", record.dump(replace(GOOD, started="now")), "isoformat"),
        ("a.json", record.dump(GOOD).replace("7200000.0", "-1.0"), "-1.0 joules cannot be"),
        ("a.json", record.dump(replace(GOOD, kilograms=1.0)).replace('"kilograms": 1.0', '"kilograms": NaN'), "finite"),
        ("a.json", record.dump(replace(GOOD, kilograms=-1.0)), "kilograms cannot be"),
        ("e.csv", CSV, "no row"),
        ("e.csv", CSV + "now,a,1,1,1\n", "line 2: Invalid isoformat"),
        ("e.csv", CSV + "2026-10-01,a,1,-1,1\n", "cannot be"),
        ("e.csv", CSV + "2026-10-01,a,1,nan,1\n", "cannot be"),
        ("e.csv", "run_id,emissions,energy_consumed\na,1,1\n", "timestamp"),
        ("e.csv", CSV + "2026-10-01,a\n", "lacks"),
        ("e.csv", CSV + "2026-10-01,a,1,1,1\n2026-10-01,,1,1,1\n", "line 3: it lacks `run_id`"),
    ],
)
def test_what_is_no_record_is_an_error(name: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        list(record.entries(name, text.encode(), GRID))


# --- judging ------------------------------------------------------------------------------------


def budget(most: float, period: str = "2026-Q4", **more: bool) -> CarbonBudget:
    return CarbonBudget(nouns.limit("max", most), period, nouns.SPAN, ("training/*.json",), **more)


def entry(kilograms: float | None, method: str = "counter", day: str = "2026-11-05", name: str = "a.json") -> Entry:
    found = Missing("no joules") if kilograms is None else Measurement(kilograms, method)  # type: ignore[arg-type]
    return Entry(name, f"sha256:{kilograms}{name}", datetime.date.fromisoformat(day), found)


def case(own: CarbonBudget | None, entries: list[Entry], base: CarbonBudget | None = None, **more: object) -> Case:
    made = nouns.case([], {})
    policies = {"budget": replace(made.budget, carbon_budget=own)}
    ledgers = [Ledger("head", tuple(entries))]
    if "with_base" in more:
        policies["base"] = replace(made.budget, carbon_budget=base)
        ledgers.append(Ledger("base", tuple(entries)))
    return replace(made, **policies, ledgers=tuple(ledgers))  # type: ignore[arg-type]


def outcome(made: Case) -> Outcome:
    (found,) = judge(made).outcomes
    return found


@pytest.mark.parametrize(
    ("entries", "allowed", "status", "said"),
    [
        ([entry(30.0), entry(19.0, name="b.json")], False, Status.PASS, "1.00 kg left"),
        ([entry(30.0), entry(20.0, name="b.json")], False, Status.PASS, "left"),
        ([entry(30.0), entry(20.1, name="b.json")], False, Status.FAIL, "100 g too much"),
        (
            [entry(60.0, day="2026-09-30"), entry(60.0, day="2027-01-01")],
            False,
            Status.PASS,
            "50.0 kg left; no training began in the period",
        ),
        ([entry(30.0), entry(1.0, "estimated")], False, Status.INCONCLUSIVE, "only estimated"),
        ([entry(30.0), entry(1.0, "estimated")], True, Status.PASS, "19.0 kg left"),
        ([entry(30.0), entry(21.0, "estimated")], True, Status.FAIL, "1.00 kg too much"),
        ([entry(51.0), entry(1.0, "estimated")], False, Status.FAIL, "too much"),
        ([entry(1.0), entry(None, name="b.json")], True, Status.INCONCLUSIVE, "not known what b.json emitted"),
        ([entry(51.0), entry(None)], True, Status.FAIL, "too much"),
        ([entry(None, day="2026-09-01")], False, Status.PASS, "50.0 kg left"),
        ([], True, Status.INCONCLUSIVE, "no training record was found"),
    ],
)
def test_a_sum_is_judged_on_what_is_known(entries: list[Entry], allowed: bool, status: Status, said: str) -> None:
    found = outcome(case(budget(50.0, allow_estimated=allowed), entries))
    assert found.status is status
    assert said in found.reason
    assert (found.rule, found.model) == ("carbon_budget", "period 2026-Q4")
    assert bool(found.help) == (status is not Status.PASS)


def test_a_ledger_that_nobody_read_is_no_pass() -> None:
    assert outcome(replace(case(budget(50.0), []), ledgers=())).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("own", "base", "status", "under"),
    [
        (budget(100.0), budget(20.0), Status.FAIL, "base"),  # loosened
        (None, budget(20.0), Status.FAIL, "base"),  # removed
        (budget(20.0), budget(100.0), Status.FAIL, "head"),  # tightened: binds at once
        (budget(100.0), None, Status.PASS, "head"),  # new
    ],
)
def test_the_worse_of_both_policies_binds(
    own: CarbonBudget | None, base: CarbonBudget | None, status: Status, under: str
) -> None:
    made = case(own, [entry(30.0)], base, with_base=True)
    verdict = judge(made)
    (found,) = verdict.outcomes
    assert (found.status, found.under) == (status, under)
    assert any("carbon_budget" in notice.text for notice in verdict.notices)
    compared = comparison_of(verdict, found).candidate
    assert isinstance(compared, Measurement)
    assert compared.value == 30.0


def test_another_period_does_not_hide_the_targets() -> None:
    made = case(budget(20.0, "2027-Q1"), [entry(30.0)], budget(20.0), with_base=True)
    assert {one.model: one.status for one in judge(made).outcomes} == {
        "period 2027-Q1": Status.PASS,
        "period 2026-Q4": Status.FAIL,
    }


@pytest.mark.parametrize(
    ("period", "following"), [("2026-Q3", "2026-Q4"), ("2026-10", "2026-11"), ("2025", "2026"), ("1990-Q4", "2026-Q4")]
)
def test_a_period_that_is_over_lets_nothing_pass(period: str, following: str) -> None:
    """What is trained now counts nowhere: the next one has to be written."""
    day = str(ledger.bounds(period)[0])
    found = outcome(case(budget(50.0, period), [entry(1.0, day=day), entry(400.0)]))
    assert found.status is Status.INCONCLUSIVE
    assert found.reason == f"the period {period} is over, so that nothing trained now is counted"
    assert f"`period: {following}`" in found.help
    spent = outcome(case(budget(50.0, period), [entry(51.0, day=day)]))
    assert spent.status is Status.FAIL, "what is known to be too much stays so"


@pytest.mark.parametrize("period", ["2026-Q4", "2026-11", "2026"])
def test_a_period_holds_until_its_last_day(period: str) -> None:
    last = ledger.bounds(period)[1] - datetime.timedelta(days=1)
    made = case(budget(50.0, period), [entry(1.0)])
    assert outcome(replace(made, today=last)).status is Status.PASS
    assert outcome(replace(made, today=last + datetime.timedelta(days=1))).status is Status.INCONCLUSIVE


def test_a_period_to_come_says_when_it_begins() -> None:
    found = outcome(case(budget(50.0, "2027-Q1"), [entry(1.0)]))
    assert found.status is Status.PASS
    assert found.reason.endswith("50.0 kg left; no training began in the period, which begins on 2027-01-01")


@pytest.mark.parametrize(
    ("own", "emitted", "statuses"),
    [
        (budget(20.0), 15.0, {"period 2026-Q4": (Status.PASS, "both")}),
        (budget(500.0), 15.0, {"period 2026-Q4": (Status.PASS, "both")}),
        (budget(500.0), 25.0, {"period 2026-Q4": (Status.FAIL, "base")}),  # what was allowed so far binds
        (
            budget(500.0, "2027-Q1"),  # not yet that of today
            15.0,
            {"period 2027-Q1": (Status.PASS, "head"), "period 2026-Q3": (Status.INCONCLUSIVE, "base")},
        ),
        (budget(20.0, "2026-Q3"), 15.0, {"period 2026-Q3": (Status.INCONCLUSIVE, "both")}),
        (None, 15.0, {"period 2026-Q3": (Status.INCONCLUSIVE, "base")}),
        (
            replace(budget(500.0), locked=True),  # stands in for no other that is not locked
            15.0,
            {"period 2026-Q4": (Status.PASS, "head"), "period 2026-Q3": (Status.INCONCLUSIVE, "base")},
        ),
    ],
)
def test_whoever_writes_the_next_period_is_judged_in_it(
    own: CarbonBudget | None, emitted: float, statuses: dict[str, tuple[Status, str]]
) -> None:
    """The target branch's is over; were it inconclusive whatever a change does, no change could write the next."""
    old = entry(1.0, day="2026-08-01", name="old.json")
    verdict = judge(case(own, [entry(emitted), old], budget(20.0, "2026-Q3"), with_base=True))
    assert {one.model: (one.status, one.under) for one in verdict.outcomes} == statuses
    for one in verdict.outcomes:
        assert isinstance(comparison_of(verdict, one).candidate, Measurement)
    assert load(dump(verdict), "v.json") == verdict


def test_a_period_that_was_overspent_ends_with_the_next() -> None:
    old = entry(100.0, day="2026-08-01", name="old.json")
    made = case(budget(20.0), [entry(15.0), old], budget(20.0, "2026-Q3"), with_base=True)
    assert outcome(made).status is Status.PASS
    (said,) = carbon_texts(made)
    assert said.startswith("2026-Q4, at most 20.0 CO2e: 1 training measured, 15.0 kg; 5.00 kg left")


@pytest.mark.parametrize(
    ("count", "listed", "unknown"),
    [
        (3, "a0.json, a1.json, a2.json", "a0.json, a1.json, a2.json"),
        (4, "a0.json, a1.json, a2.json and 1 more", "a0.json, a1.json, a2.json, a3.json"),
        (5, "a0.json, a1.json, a2.json and 2 more", "a0.json, a1.json, a2.json, a3.json and 1 more"),
    ],
)
def test_many_files_are_named_in_part(count: int, listed: str, unknown: str) -> None:
    names = [f"a{number}.json" for number in range(count)]
    total = ledger.account(Ledger("head", tuple(entry(1.0, name=name) for name in names)), budget(50.0)).total
    assert isinstance(total, Measurement)
    assert total.detail == listed
    reason = outcome(case(budget(50.0), [entry(None, name=name) for name in names])).reason
    assert reason == f"it is not known what {unknown} emitted: no joules"


def test_a_verdict_with_a_ledger_is_read_back() -> None:
    verdict = judge(case(budget(50.0), [entry(30.0), entry(None, name="b.json")]))
    assert load(dump(verdict), "v.json") == verdict


@pytest.mark.parametrize("period", ["9999", "9999-Q4", "9999-12", "0000", "0000-Q1", "1989", "2101-01", "2026-Q5"])
def test_a_period_is_of_years_that_calendars_have(period: str) -> None:
    with pytest.raises(ValueError, match="no month, quarter or year"):
        budget(50.0, period)
    text = dump(judge(case(budget(50.0), [entry(30.0)]))).replace('"period": "2026-Q4"', f'"period": "{period}"')
    with pytest.raises(GreengateError, match="no month, quarter or year"):
        load(text, "v.json")


def test_the_sum_is_as_good_as_its_weakest_part() -> None:
    made = Ledger("head", (entry(1.0, "metered"), entry(2.0, "integrated"), entry(4.0)))
    total = ledger.account(made, budget(50.0)).total
    assert isinstance(total, Measurement)
    assert (total.value, total.method) == (7.0, "integrated")


def test_reports_say_shares_what_is_left_and_what_lies_outside() -> None:
    entries = [
        entry(30.0),
        entry(2.0, "estimated", name="b.json"),
        entry(None, name="c.json"),
        entry(9.0, day="2026-09-30", name="old.json"),
    ]
    (said,) = carbon_texts(case(budget(50.0), entries))
    assert said == (
        "2026-Q4, at most 50.0 CO2e: 1 training measured, 30.0 kg; 1 training estimated, \u2248 2.00 kg; "
        "1 training of which nothing is known; \u2248 18.0 kg left; "
        "outside of the period and not counted: old.json (2026-09-30)"
    )
