"""What a worker's words and its way of ending mean: an answer, a refusal, or a failure in plain words."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from typing import Any

from greengate.budget import WorkerLimits
from greengate.codec import CodecError, decode
from greengate.errors import CODES
from greengate.profiler.jobs import ANSWERS, Answer, Job, Refused, WorkerFailed
from greengate.profiler.worker import MORE_MEMORY, ran_out_of_memory

_MORE_TIME = "give it more with `worker: {timeout: ...}` in the budget, or use a faster machine"


@dataclass
class Heard:
    """What came out of a worker: its answer pipe, the end of its output, and how it ended.

    `late` when its time was up, `full` when it held more than `most` bytes and was ended for it (0: not watched);
    `returncode` is None where it did not end by itself.
    """

    answer: bytearray = field(default_factory=bytearray)
    log: bytearray = field(default_factory=bytearray)
    late: bool = False
    full: bool = False
    most: int = 0
    returncode: int | None = None

    @property
    def complete(self) -> bool:
        """Whether the worker has said its last line."""
        return self.answer.endswith(b"\n") and not self.answer.rstrip().rpartition(b"\n")[2].startswith(b'{"stage"')


def answer_of(heard: Heard, job: Job, limits: WorkerLimits) -> Answer:
    """Return the answer among what was heard. Raises Refused or WorkerFailed for what else it means."""
    said, doing = _lines(heard.answer)
    if heard.late:
        raise WorkerFailed(f"the worker did not answer within {limits.timeout:g} s{doing}", _MORE_TIME)
    if heard.full:
        raise WorkerFailed(f"the worker ran out of memory{doing} (it may hold {heard.most / 1e6:,.0f} MB)", MORE_MEMORY)
    match said:
        case {"answer": answer}:
            kind: type[Answer] = ANSWERS[type(job)]
            try:
                return decode(kind, answer)
            except CodecError as error:
                raise WorkerFailed(f"the worker's answer cannot be read: {error}") from error
        case {"refused": {"code": str(code), "message": str(message), "help": str(help_)}} if code in CODES:
            raise Refused(code, message, help_)
        case {"failed": {"reason": str(reason), "help": str(help_)}}:
            raise WorkerFailed(reason, help_)
        case {"died": {"kind": str(name), "text": str(text)}}:
            # An import that fails for want of memory says so in its log: what is raised in the end names the module.
            log = heard.log.decode("utf-8", "replace") if name == "ImportError" else ""
            raise _died(name, text, doing, limits, log)
        case _:
            raise _ended(heard, doing, limits)


def doing(heard: Heard) -> str:
    """Return what the worker did last, as words that go on a sentence; empty where it did not say."""
    return _lines(heard.answer)[1]


def _lines(answer: bytes | bytearray) -> tuple[dict[str, Any], str]:
    """Return the final line as an object, and the last stage as words; both empty where there was none."""
    last: dict[str, Any] = {}
    doing = ""
    for line in bytes(answer).splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            return {"garbage": True}, doing
        if not isinstance(said, dict) or len(said) != 1:
            return {"garbage": True}, doing
        if isinstance(said.get("stage"), str):
            doing = f" while {said['stage']}"
        else:
            last = said
    return last, doing


def _out_of_memory(doing: str, limits: WorkerLimits) -> WorkerFailed:
    limit = f" (its limit is {limits.memory / 1e6:,.0f} MB)" if limits.memory is not None else ""
    return WorkerFailed(f"the worker ran out of memory{doing}{limit}", MORE_MEMORY)


def _died(name: str, text: str, doing: str, limits: WorkerLimits, log: str) -> WorkerFailed:
    if ran_out_of_memory(f"{name}: {text}\n{log}"):
        return _out_of_memory(doing, limits)
    return WorkerFailed(f"the worker failed{doing}: {name}: {text}".rstrip(": "))


def _ended(heard: Heard, doing: str, limits: WorkerLimits) -> WorkerFailed:
    """Say how a worker without an answer ended."""
    log = heard.log.decode("utf-8", "replace").strip()
    if ran_out_of_memory(log):
        return _out_of_memory(doing, limits)
    last = f"; its last words: {log.splitlines()[-1].strip()[:300]!r}" if log else ""
    code = heard.returncode
    if heard.answer and heard.complete:
        return WorkerFailed(f"the worker's answer cannot be read{doing}{last}")
    if code is None:
        return WorkerFailed(f"the worker closed its answer pipe and went on{doing}{last}")
    if code in (-signal.SIGKILL, 137):
        return WorkerFailed(
            f"the worker was killed by SIGKILL{doing}; most often the system had run out of memory", MORE_MEMORY
        )
    if code < 0:
        return WorkerFailed(f"the worker crashed with {_signal_name(-code)}{doing}{last}")
    return WorkerFailed(f"the worker ended with exit code {code} and no answer{doing}{last}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
