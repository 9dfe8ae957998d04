"""One rule of one policy for one model: its own limits, or what pays for it, or a waiver; then its severity."""

from __future__ import annotations

from dataclasses import replace

from greengate.budget import Rule
from greengate.judge.advice import next_step
from greengate.judge.approving import approved
from greengate.judge.grounds import Ground, Matter
from greengate.judge.trading import traded
from greengate.judge.waiving import waived
from greengate.verdict import Check, Outcome, Status, Step

_ELSEWHERE = "run the job of the reference hardware, and merge with `greengate check --profile`"
_INCONCLUSIVE = {"fail": Status.FAIL, "warn": Status.WARN, None: Status.INCONCLUSIVE}


def judge_rule(matter: Matter, waivers: bool = True) -> Outcome:
    """Judge one rule for one model; without `waivers`, as if there were none."""
    rule, model = matter.rule, matter.model
    checks = tuple(map(matter.judge, rule.limits))
    worst = max(checks, key=lambda check: check.status)
    grounds = [] if worst.status is Status.PASS else _grounds(matter, checks, waivers)
    # `or`: the best ground decides; the rule's own limits where none is better.
    best = min(grounds, key=lambda ground: ground[1].status, default=None)
    if best is not None and best[1].status is Status.PASS:
        status, reason, help_ = best[0], best[1].reason, ""
    else:
        status = worst.status if best is None else min(worst.status, best[1].status)
        reason = "; ".join([worst.reason, *(ground.reason for _, ground in grounds)])
        help_ = _ELSEWHERE if matter.elsewhere else next_step(worst, rule, matter.judged_on(worst.limit)[0])
        help_ = help_ or next((ground.help for _, ground in grounds if ground.help), "")
    proof = _proof(rule, checks, grounds, status) if grounds else ()
    return Outcome(
        rule.id, model.name, rule.metric, _weighed(status, rule), reason, help_, checks, rule.span, proof=proof
    )


def _grounds(matter: Matter, checks: tuple[Check, ...], waivers: bool) -> list[tuple[Status, Ground]]:
    """Return what else may let the rule hold, each with the outcome it leads to."""
    found = []
    if all(check.status is Status.PASS or check.limit.kind.startswith("suspicious") for check in checks):
        look = approved(matter, look=True)
        found.append((Status.WAIVED, replace(look, claim="somebody looked at it and approved it")))
    elif matter.rule.unless is not None:
        found.append((Status.TRADED, traded(matter, matter.rule.unless)))
    if waivers and (waiver := waived(matter)) is not None:
        found.append((Status.WAIVED, waiver))
    return found


def _proof(
    rule: Rule, checks: tuple[Check, ...], grounds: list[tuple[Status, Ground]], status: Status
) -> tuple[Step, ...]:
    own = max(check.status for check in checks)
    lines = [
        Step(0, "one of these holds", status),
        Step(1, "every limit of the rule", own, span=rule.span),
        *(Step(2, f"{one.limit.kind}: {one.limit.text}", one.status, one.reason, one.limit.span) for one in checks),
        *(step for _, ground in grounds for step in ground.steps(1)),
    ]
    return tuple(lines)


def _weighed(status: Status, rule: Rule) -> Status:
    if status is Status.INCONCLUSIVE:
        status = _INCONCLUSIVE[rule.on_inconclusive]
    return Status.WARN if rule.severity == "warn" and status > Status.WARN else status
