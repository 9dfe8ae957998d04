"""Instructions under valgrind, where a rule names them or somebody asks: between counting and timing."""

from __future__ import annotations

from dataclasses import replace

from greengate.bound import policies, rules_for
from greengate.gate.calibrated import named
from greengate.gate.ready import Ready, limits_of
from greengate.gate.request import Setting
from greengate.metrics import SIMULATED
from greengate.profile import Profile
from greengate.profiler.backends import format_of
from greengate.profiler.exact import Subject
from greengate.profiler.instructions import counting


def with_instructions(ready: Ready, setting: Setting) -> tuple[Ready, float]:
    """Count the instructions of both sides of a model that are asked for; return the seconds spent beside it.

    The time given is for both. A baseline of the very same files and feed is not counted again.
    Raises ModelError when a model is at fault.
    """
    asked, given = _asked(ready, setting), setting.request.simulation_seconds
    if not asked or not given:
        return ready, 0.0
    clock = format_of(ready.candidate.path).load().clock
    begun = clock()
    before = ready.before if ready.unfed is None else None

    def count(subject: Subject, counted: Profile, seconds: float) -> Profile:
        limits = limits_of(setting.budget)
        return counting.simulate(subject, counted, asked, seconds, limits, progress=setting.progress)

    alone = before is None or ready.counted_before is None or _same(ready)
    after = count(ready.candidate, ready.counted, given if alone else given / 2)
    then = ready.counted_before
    if then is not None and (_same(ready) or after.simulation is None):  # beside nothing, a count is of no use
        shared = {metric: after.measurements[metric] for metric in asked}
        then = replace(then, measurements={**then.measurements, **shared}, simulation=after.simulation)
    elif then is not None and before is not None:
        then = count(before, then, max(0.0, given - (clock() - begun)))
    return replace(ready, counted=after, counted_before=then), clock() - begun


def _asked(ready: Ready, setting: Setting) -> frozenset[str]:
    """Return the metrics of a simulated processor that rules of the model name, or that were asked for by hand."""
    request, budget = setting.request, setting.budget
    known = () if request.static_only else setting.policies or (() if budget is None else (budget,))
    judging = [each for one in known for each in policies(one)]
    rules = [rule for policy in judging for rule in rules_for(policy, ready.chosen.entry.bound_as)]
    wanted = {rule.metric for rule in rules} | {rule.unless.metric for rule in rules if rule.unless is not None}
    if named(setting, ready.chosen.entry.bound_as) is not None:
        wanted |= set(SIMULATED)
    return frozenset(SIMULATED) & (wanted | set(request.simulated))


def _same(ready: Ready) -> bool:
    """Tell whether both sides are the same bytes, fed the same."""
    before, after = ready.counted_before, ready.counted
    if before is None or not after.model.digest or not after.workload.feed:
        return False
    return (before.model.digest, before.workload) == (after.model.digest, after.workload)
