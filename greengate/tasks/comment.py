"""`greengate comment`: a verdict from its file onto the pull or merge request, and onto the commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from greengate import ci, verdict_file
from greengate.ci import forge, sticky, stranger
from greengate.ci.forge import Forge, ForgeError, NowhereToPost, Thread
from greengate.comparison import Change
from greengate.errors import Diagnostic, Exit, GreengateError
from greengate.judge import judge_again
from greengate.metrics import METRICS
from greengate.report import REPORTS, fit, words
from greengate.verdict import Status, Verdict

#: A verdict of a thousand rules has about 5 MB.
_LARGEST = 64 << 20
KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Wanted:
    """What is to be posted: the verdict's file, the comment's key, when a new comment is worth it, and the status.

    `number` names the request where the environment does not, `link` the full report.
    """

    path: str
    key: str
    when: str
    status: bool = False
    number: int | None = None
    link: str = ""


#: When a comment that is not there yet is written; one that is there is always brought up to date.
WHEN: dict[str, Callable[[Verdict], bool]] = {
    "always": lambda _: True,
    "on-change": lambda verdict: _deserves_a_look(verdict) or _changed(verdict),
    "on-failure": lambda verdict: verdict.exit is not Exit.PASS,
}


def comment(wanted: Wanted, environ: Mapping[str, str]) -> Iterator[str]:
    """Post the report, and the commit's status where asked; yield a line for each thing done or left.

    Both speak of the commit that was measured, as far as the environment tells it. What cannot be posted for want of a
    token, a request or the right to write, or as a newer push came, is said, and no failure. Raises
    GreengateError for a file that is no verdict, a report of another commit, and a forge that does not answer.
    """
    verdict = read(wanted.path)
    place = ci.place(environ)
    if place not in forge.FORGES:
        yield "not posted: this is neither GitHub Actions nor GitLab CI"
        return
    chosen = forge.FORGES[place]()
    try:
        thread = chosen.thread(environ, wanted.number)
        yield from _post(verdict, wanted, environ, chosen, thread)
    except NowhereToPost as nowhere:
        yield f"not posted: {nowhere}"
    except ForgeError as error:
        if error.status not in (401, 403):
            raise
        yield f"not posted: {error.diagnostics[0].message}; {error.diagnostics[0].help}"


def read(path: str) -> Verdict:
    """Read a verdict and judge its case again: what is posted follows from the measurements in the file.

    Raises GreengateError.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        message = f"cannot read {path!r}: {error.strerror or error}"
        raise GreengateError(Diagnostic("unreadable-file", message, "check the path")) from error
    if len(data) > _LARGEST:
        raise GreengateError(Diagnostic("profile-invalid", f"{path} is too large for a verdict", "check the path"))
    try:
        stated = verdict_file.load(data.decode(), path)
    except UnicodeDecodeError as error:
        raise GreengateError(Diagnostic("profile-invalid", f"{path} is not UTF-8 text", "check the path")) from error
    judged = judge_again(stated)
    if judged != stated:
        message = f"{path} states {stated.status.name}, its measurements give {judged.status.name}"
        help_ = "it was edited, or written by another version of greengate: judge it again with the one that posts"
        raise GreengateError(Diagnostic("untrusted-report", message, help_))
    return judged


def _post(verdict: Verdict, wanted: Wanted, environ: Mapping[str, str], chosen: Forge, thread: Thread) -> Iterator[str]:
    run = stranger.measured(environ)
    commit = ci.head_of(environ, thread.number)
    asked = run is not None or (wanted.status if commit is None else wanted.when != "never")
    head = chosen.head(thread) if asked else None
    if run is not None and head is not None:
        stranger.check(run, head)
    last = None if head is None else head.commit
    commit = commit or last
    link = wanted.link or chosen.link(environ)
    if last is not None and last != commit:
        # An older job that ends late must not write over a newer verdict.
        yield f"not posted: a newer push has its own report; this one is of {str(commit)[:12]}, not of {last[:12]}"
    elif wanted.when != "never":
        body = REPORTS["markdown"](verdict)
        if run is not None and run.fork:
            body = f"{body}\n<sub>Reported by the fork's job: its own code measured and wrote these numbers.</sub>\n"
        text = fit.fit(body, chosen.LONGEST - len(wanted.key) - 100, link)
        posted = sticky.post(chosen, thread, wanted.key, text, WHEN[wanted.when](verdict))
        where = f": {posted.comment.url or posted.comment.id}" if posted.comment is not None else ""
        yield f"comment {posted.done}{where}"
    if wanted.status and run is not None and run.fork:
        yield "status not set: a fork's job vouches for nothing"
    elif wanted.status and commit is not None:
        text = f"{verdict.status.name} {words.headline(verdict)}"
        chosen.status(thread, commit, verdict.exit is Exit.PASS, text, link)
        yield f"status set on {commit[:12]}: {verdict.status.name}"


def _deserves_a_look(verdict: Verdict) -> bool:
    """Tell whether the verdict is no pass, for another reason than that the change touches no model."""
    plain = (Status.PASS, Status.DEFERRED)
    return verdict.status not in plain or any(one.status is not Status.PASS for one in words.judged(verdict))


def _changed(verdict: Verdict) -> bool:
    """Tell whether any exact number moved: noise alone is not worth a comment."""
    changes = (
        compared.change
        for model in verdict.case.models
        for metric, compared in model.comparisons.items()
        if metric in METRICS and METRICS[metric].kind == "exact"
    )
    return any(isinstance(change, Change) and change.value != 0 for change in changes)
