"""The pull-request report: readable in three seconds, and harmless whatever a model is called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from greengate.comparison import Comparison
from greengate.harmless import clean
from greengate.metrics import METRICS, name_of
from greengate.profile import Missing
from greengate.report.alike import Alike, alike, gaps_of, methods_of, notes_of
from greengate.report.facts import Gap, facts, gaps, in_table_order, is_measured, rule_of, titled
from greengate.report.numbers import Written, write, write_outcome
from greengate.report.steps import addressed
from greengate.report.where import Where, places
from greengate.report.words import clip, grouped, headline, listed, worst_first
from greengate.verdict import ModelCase, Outcome, Status, Verdict
from greengate.verdict_file import comparison_of

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

_MARKS = {
    Status.PASS: "✅",
    Status.TRADED: "✅",
    Status.DEFERRED: "⏳",
    Status.WAIVED: "📝",
    Status.WARN: "⚠️",
    Status.INCONCLUSIVE: "❔",
    Status.FAIL: "❌",
}

_BASES = {
    "exact": "exact",
    "paired": "paired, side by side in the same processes",
    "stored": "stored, measured earlier on matching hardware",
    "counted": "estimated from counted instructions of both",
}

#: Every character that can begin or end a construct of GitHub's or GitLab's Markdown inside a line.
_MARKUP = re.compile(r"([\\`*_\[\]~|$!{}^])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
#: What a forge turns into a mention, a reference or a link even where it is no Markdown: the sign, then what follows.
_REFERENCE = re.compile(r"[@#]|\bGH(?=-\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
#: What a code span shows as it is.
_PLAIN = re.compile(r"""[\w.,:;/()=+%"'-]+( [\w.,:;/()=+%"'-]+)*""")
_BREAK = "\N{WORD JOINER}"
#: Where a table's cell of numbers may be broken: between limits, and before an interval.
_BREAKABLE = re.compile(r"(, (?![^\[]*\])| or | (?=\[))")


def render(verdict: Verdict) -> str:
    """Write the verdict as GitHub-flavoured Markdown, headline first, details folded."""
    verdict = addressed(verdict)
    outcomes = worst_first(verdict)
    text = _template().render(
        mark=_MARKS[verdict.status],
        status=verdict.status.name,
        headline=headline(verdict),
        rows=[_row(verdict, outcome) for outcome in outcomes],
        idle=[clip(one.name) for one in verdict.case.models if all(one.name != row.model for row in outcomes)],
        gaps=_gaps([(clip(outcome.rule), comparison_of(verdict, outcome)) for outcome in outcomes]),
        notices=[(one.text, str(one.span) if one.span else "") for one in verdict.notices],
        findings=[_finding(alike) for alike in grouped(o for o in outcomes if o.status is not Status.PASS)],
        where=[(clip(one.name), list(map(_where, told))) for one in verdict.case.models if (told := _told(one))],
        common=_common(shared := alike(verdict.case.models)),
        models=[_model(model, shared) for model in verdict.case.models],
        facts=[(fact.label, fact.text, listed([clip(name) for name in fact.models])) for fact in facts(verdict)],
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def escape(text: object) -> Markup:
    """Escape text from outside for any place inside a line or table cell; what is already escaped stays as it is.

    The result renders as the text itself, with a zero-width joiner inside whatever would notify or link.
    """
    from markupsafe import Markup

    return text if isinstance(text, Markup) else Markup(_inert(clean(str(text))))  # noqa: S704 - escaped right here


def _inert(line: str) -> str:
    whole = _REFERENCE.sub(lambda found: found[0] + _BREAK, line)
    return _MARKUP.sub(r"\\\1", whole).translate(_ENTITIES)


def code(text: str) -> Markup:
    """Set a name in code style: inert already, and free of what could end a code span or a table cell."""
    from markupsafe import Markup

    plain = clean(text)
    if _PLAIN.fullmatch(plain) and not _REFERENCE.search(plain):
        return Markup(f"`{plain}`")  # noqa: S704 - nothing in it can leave the span
    return escape(plain)


def prose(text: str) -> Markup:
    """Escape a sentence, and set what it quotes in backticks in code style."""
    from markupsafe import Markup

    parts = re.split(r"`([^`]+)`", clean(text))
    written = (code(part) if index % 2 else _inert(part) for index, part in enumerate(parts))
    return Markup("".join(written))  # noqa: S704 - each part is escaped


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    house = Environment(
        loader=PackageLoader("greengate.report"),
        autoescape=False,  # noqa: S701 - for HTML; finalize escapes every value for Markdown instead
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    house.filters |= {"code": code, "prose": prose}
    return house.get_template("markdown.md.j2")


def _row(verdict: Verdict, outcome: Outcome) -> dict[str, str | Markup]:
    written = write_outcome(comparison_of(verdict, outcome), outcome, rule_of(verdict, outcome))
    return {
        "status": _status(outcome.status),
        "model": code(clip(outcome.model)),
        "rule": code(clip(outcome.rule)),
        "metric": "" if outcome.rule == name_of(outcome.metric) else titled(outcome.metric),
        **_numbers(written),
    }


def _numbers(written: Written) -> dict[str, Markup]:
    from markupsafe import Markup

    texts = {
        "baseline": written.baseline,
        "candidate": f"{written.candidate} {written.candidate_interval}".rstrip(),
        "change": f"{written.change} {written.change_interval}".rstrip(),
        "limit": written.limit,
    }
    # Numbers and units of this package: nothing from outside is in them.
    return {name: Markup(_unbroken(text)) for name, text in texts.items()}  # noqa: S704


def _unbroken(text: str) -> str:
    """Keep a number and its unit on one line, however narrow a table's column is."""
    parts = _BREAKABLE.split(text)
    return "".join(part if index % 2 else part.replace(" ", "\N{NO-BREAK SPACE}") for index, part in enumerate(parts))


def _status(status: Status) -> str:
    return f"{_MARKS[status]} {status.name}"


def _gaps(compared: list[tuple[str, Comparison]]) -> list[tuple[str, str]]:
    return [(listed(list(gap.rows), most=6), _why(gap)) for gap in gaps(compared)]


def _why(gap: Gap) -> str:
    return f"{gap.reason}; {gap.help}" if gap.help else gap.reason


def _finding(alike: list[Outcome]) -> dict[str, object]:
    one = alike[0]
    return {
        "status": _status(one.status),
        "rules": [code(clip(name)) for name in dict.fromkeys(outcome.rule for outcome in alike)],
        "models": [code(clip(name)) for name in dict.fromkeys(outcome.model for outcome in alike)],
        "reason": one.reason,
        "places": [code(place) for place in dict.fromkeys(str(outcome.span) for outcome in alike)],
        "help": one.help,
    }


def _told(model: ModelCase) -> list[Where]:
    return list(places(in_table_order(model.comparisons)))


def _where(where: Where) -> dict[str, object]:
    """Set the paths of layers, which are from outside, in code style."""
    parts = [(place.share, code(place.path) if place.path else "", place.kind) for place in where.places]
    return {"metric": where.metric, "amount": where.amount, "parts": parts}


def _common(shared: Alike) -> dict[str, object]:
    by_method: dict[str, list[str]] = {}
    for metric, method in shared.methods.items():
        by_method.setdefault(method, []).append(titled(metric))
    return {
        "methods": [(listed(names, most=len(names)), method) for method, names in by_method.items()],
        "gaps": [(listed(list(gap.rows), most=6), _why(gap)) for gap in shared.gaps],
        "notes": shared.notes,
    }


def _model(model: ModelCase, shared: Alike) -> dict[str, object]:
    compared = in_table_order(model.comparisons)
    rows = list(_measurements(compared, {} if model.hardware is None else methods_of(model), shared.methods))
    path = "" if model.candidate is None else model.candidate.path
    return {
        "name": clip(model.name),
        "path": path,
        "digest": "" if model.candidate is None else model.candidate.digest,
        "rows": rows,
        "own": any(row["how"] for row in rows),
        "gaps": [(listed(list(gap.rows), most=6), _why(gap)) for gap in gaps_of(model) if gap not in shared.gaps],
        "notes": [note for note in notes_of(model) if note not in shared.notes],
    }


def _measurements(
    compared: list[Comparison], methods: Mapping[str, str], shared: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    for one in compared:
        if not is_measured(one):
            continue
        basis = "" if isinstance(one.change, Missing) else _BASES[one.change.basis]
        yield {
            "metric": METRICS[one.metric].title,
            "basis": basis,
            "how": "" if one.metric in shared else methods.get(one.metric, ""),
            **_numbers(write(one)),
        }
