"""One launch: fresh workers that time calls, and weigh models, in an order drawn from the seed."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from greengate import estimate
from greengate.profile import Launch, Role
from greengate.profiler.exact import Subject
from greengate.profiler.jobs import FootprintJob, LaunchJob, Sampled

#: Launches that every trial makes at least.
LAUNCHES = 6
#: Calls of each role in one launch: the fewest, those that are enough, the most.
FEWEST_CALLS, ENOUGH_CALLS, MOST_CALLS = 10, 50, 5000
#: Calls of each role in one launch where p95 is asked for: the change of it is told launch by launch.
P95_CALLS = 20
#: Seconds inside calls of one launch: at least, and at most while there are fewer than enough calls.
LEAST_SECONDS, MOST_SECONDS = 0.7, 2.5
#: Texts that each role generates in one launch: the fewest, those that are enough. Six are every order of three once.
FEWEST_TEXTS, ENOUGH_TEXTS = 6, 20

CALL_METRICS = frozenset(name for name, how in estimate.ESTIMATORS.items() if how.per_call) - estimate.GENERATED
FOOTPRINT_METRICS = frozenset(estimate.ESTIMATORS) - CALL_METRICS - estimate.METERED - estimate.GENERATED

Run = Callable[[LaunchJob | FootprintJob], Sampled]


def launch(
    run: Run,
    subjects: Mapping[Role, Subject],
    wanted: frozenset[str],
    index: int,
    together: bool,
) -> tuple[Launch, tuple[str, ...]]:
    """Run every subject once for the wanted metrics; return the launch and what its workers remarked.

    `together`: all models in one process, call by call; else each in a process of its own. Raises what `run` raises.
    """
    spec = next(iter(subjects.values())).workload
    order = list(subjects)
    # The order of loading decides where buffers land; seeded, so that a trial can be repeated.
    random.Random(f"{spec.seed} {index}").shuffle(order)  # noqa: S311 - not a secret
    seed, cpus = 1000 * spec.seed + index, pinned(spec.threads)
    jobs: list[tuple[LaunchJob | FootprintJob, Role | None]] = []
    groups = [tuple(order)] if together else [(role,) for role in order]
    if wanted & CALL_METRICS:
        jobs += [(_call_job(group, subjects, seed, cpus, wanted), None) for group in groups]
    if wanted & estimate.GENERATED:
        jobs += [(_texts(_call_job(group, subjects, seed, cpus, wanted)), None) for group in groups]
    if wanted & FOOTPRINT_METRICS:
        jobs += [(FootprintJob(subjects[role].path, spec, seed, cpus, subjects[role].recipe), role) for role in order]
    samples: dict[str, dict[str, tuple[int, ...]]] = {role: {} for role in order}
    answers: list[tuple[Sampled, Role | None]] = [(run(job), role) for job, role in jobs]
    for answer, only in answers:
        for role, series in answer.samples.items():
            samples[only or role] |= series
    notes = tuple(note for answer, _ in answers for note in answer.notes)
    seconds = round(sum(answer.seconds for answer, _ in answers), 6)
    feeds = max((answer.feeds for answer, _ in answers), default=1)
    return Launch(seed, tuple(order), samples, seconds, together, feeds=feeds), notes


def _call_job(
    roles: tuple[Role, ...],
    subjects: Mapping[Role, Subject],
    seed: int,
    cpus: tuple[int, ...],
    wanted: frozenset[str],
) -> LaunchJob:
    # Fewer than twenty calls have no twentieth that is the slowest; p99 rests on a thousand calls over all launches.
    fewest = P95_CALLS if "latency_p95" in wanted else FEWEST_CALLS
    fewest = math.ceil(estimate.P99_CALLS / LAUNCHES) if "latency_p99" in wanted else fewest
    return LaunchJob(
        paths={role: subjects[role].path for role in roles},
        order=roles,
        workload=subjects[roles[0]].workload,
        seed=seed,
        seconds=LEAST_SECONDS,
        min_calls=fewest,
        max_calls=MOST_CALLS,
        cpus=cpus,
        enough_calls=ENOUGH_CALLS,
        most_seconds=MOST_SECONDS,
        recipes={role: subjects[role].recipe for role in roles},
    )


def _texts(job: LaunchJob) -> LaunchJob:
    """Return the job that generates text instead: a text is many calls, so fewer of them do."""
    return replace(job, doing="generation", min_calls=FEWEST_TEXTS, enough_calls=ENOUGH_TEXTS)


def pinned(threads: int) -> tuple[int, ...]:
    """Choose the cores a launch is pinned to: the last ones, since interrupts favour the first."""
    if not hasattr(os, "sched_getaffinity"):
        return ()
    cores = sorted(os.sched_getaffinity(0))
    return tuple(cores[-threads:]) if threads <= len(cores) else ()
