"""Approvals: which of them count for one rule of one model, and whether they are enough."""

from __future__ import annotations

from greengate.bound import matches
from greengate.budget import Approvers, Rule
from greengate.judge.grounds import Ground, Matter
from greengate.metrics import METRICS
from greengate.verdict import Approval, Case, Status

#: The limits an approval of a metric may name: those on the side where it gets worse, and a look at what is too good.
CEILINGS = {
    "lower": ("max", "max_increase", "suspicious_decrease"),
    "higher": ("min", "max_decrease", "suspicious_increase"),
}


#: What is said where nobody is known to be somebody else than the author.
_UNKNOWN = "who wrote the change is not known here, and `four_eyes` lets none of them approve it"
_WHOLE = "check out the whole history of the request: `fetch-depth: 0` on GitHub, `GIT_DEPTH: 0` on GitLab"

Counted = list[tuple[Approval, Status]]


def approved(matter: Matter, look: bool = False) -> Ground:
    """Judge whether enough of those who may have approved this candidate as it is; with `look`, its suspicious change.

    An approval whose ceiling may or may not hold leaves it open.
    """
    rule, model, policy, case = matter.rule, matter.model, matter.policy, matter.case
    known = matter.exceptions.approvals.get(matter.pair, ())
    asked = [one for one in known if one.ceiling.kind.startswith("suspicious") is look]
    seats = [one for one in policy.approvers if matches(rule.id, one.rules)]
    found: list[tuple[Approval, Status, str]] = [(one, *_weigh(one, matter)) for one in asked]
    each = [Ground(f"{one.by} in {one.source}", status, why, span=one.ceiling.span) for one, status, why in found]
    counted: Counted = [(one, status) for one, status, _ in found if status is not Status.FAIL]
    status = max((_seated(seat, counted, case) for seat in seats), default=_enough(1, counted))
    if status is Status.INCONCLUSIVE and not case.context.authors and any(seat.four_eyes for seat in seats):
        return Ground("it is approved", status, _UNKNOWN, each, help=_WHOLE)
    help_ = f"ask for `greengate approve {rule.id} --model {model.bound_as}`"
    return Ground("it is approved", status, _reason(found, status, seats), each, help=help_)


def _weigh(one: Approval, matter: Matter) -> tuple[Status, str]:
    if flaw := _flaw(one, matter):
        return Status.FAIL, flaw
    check = matter.judge(one.ceiling)
    return check.status, f"{check.reason} that {one.by} approved: {one.reason}"


def _flaw(one: Approval, matter: Matter) -> str:
    """Say why an approval counts for nothing, or nothing."""
    rule, model, policy, case = matter.rule, matter.model, matter.policy, matter.case
    if one.flaw:
        return one.flaw
    if one.ceiling.kind not in CEILINGS[METRICS[rule.metric].better]:
        return f"a ceiling `{one.ceiling.kind}` does not bound {rule.metric}"
    if model.candidate is None or one.candidate != model.candidate.digest:
        return f"it approves the candidate {one.candidate[:19]}, not this one"
    if model.baseline is None or one.baseline != model.baseline.digest:
        return f"it approves a change from the baseline {one.baseline[:19]}, not from this one"
    if one.granted > case.today:
        return f"it is dated {one.granted}, which is in the future: check the clocks"
    if one.expires < case.today:
        return f"it expired on {one.expires}"
    if policy.approvers and not any(_may(seat, one, rule) for seat in policy.approvers):
        return f"{one.by} may not approve {rule.id!r}"
    return ""


def _may(seat: Approvers, one: Approval, rule: Rule) -> bool:
    folded = tuple(pattern.casefold() for pattern in seat.who)
    return matches(rule.id, seat.rules) and matches(one.by.casefold(), folded)


def _seated(seat: Approvers, counted: Counted, case: Case) -> Status:
    """Judge one line of `approvers`: as many different people of it as are needed, none of them an author."""
    authors = {name.casefold() for name in case.context.authors}
    folded = tuple(pattern.casefold() for pattern in seat.who)
    mine = [
        (one, status)
        for one, status in counted
        if matches(one.by.casefold(), folded) and not (seat.four_eyes and authors & _names(one))
    ]
    if seat.four_eyes and not authors:
        # Who wrote the change is not known, so nobody is known to be somebody else.
        return max(_enough(seat.needed, mine), Status.INCONCLUSIVE)
    return _enough(seat.needed, mine)


def _names(one: Approval) -> set[str]:
    return {name.casefold() for name in (one.by, *one.also)}


def _enough(needed: int, counted: Counted) -> Status:
    if _people([one for one, status in counted if status is Status.PASS]) >= needed:
        return Status.PASS
    open_ = [status for _, status in counted if status is not Status.PASS]
    return max(open_) if open_ and _people([one for one, _ in counted]) >= needed else Status.FAIL


def _people(approvals: list[Approval]) -> int:
    """Count who approved: one name is one person, and so is one key, under whatever names it may sign."""
    people: list[set[str]] = []
    for one in approvals:
        known = {one.by.casefold(), one.key} - {""}
        people = [each for each in people if not each & known] + [known.union(*(e for e in people if e & known))]
    return len(people)


def _reason(found: list[tuple[Approval, Status, str]], status: Status, seats: list[Approvers]) -> str:
    if status is Status.PASS:
        people = dict.fromkeys(one.by for one, each, _ in found if each is Status.PASS)
        return f"approved by {', '.join(people)}"
    if not found:
        return "nobody approved it"
    flaws = [f"the approval of {one.by} does not count: {why}" for one, each, why in found if each is Status.FAIL]
    if flaws:
        return "; ".join(flaws)
    four = " other than who wrote it" if any(seat.four_eyes for seat in seats) else ""
    needed = max((seat.needed for seat in seats), default=1)
    if status is Status.FAIL:
        return f"{needed} must approve it{four}, and not enough of them did"
    return "; ".join(why for _, _, why in found)
