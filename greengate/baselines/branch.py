"""`git:BRANCH`: a store on an orphan branch, written without a checkout, shared through `origin` where there is one.

The branch on `origin` is the store; the local one is only where there is no remote. A version is added by a commit on
top of the remote's tip, pushed on the condition that the tip has not moved: who comes second looks again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greengate import git
from greengate.baselines import Found, Request, stored
from greengate.errors import BaselineError, Diagnostic, GreengateError
from greengate.git import branch as plumbing
from greengate.profile import Missing

#: Somebody else may be first so often before we give up, after a wait of up to so many seconds each time.
_TRIES, _LONGEST_WAIT = 60, 0.4


@dataclass
class Branch:
    """A store on a branch as it stood when it was opened, or when this process last added to it.

    `stale` says why the remote could not be asked; what it last said is used then.
    """

    top: Path
    name: str
    tip: str | None = None
    stale: str = ""
    _theirs: str | None = None
    _files: dict[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """The branch's full name."""
        return f"refs/heads/{self.name}"

    @property
    def tracking(self) -> str:
        """What the remote's branch is called here."""
        return f"refs/remotes/origin/{self.name}"

    def names(self, folder: str) -> list[str]:
        """See Place."""
        prefix = f"{folder}/" if folder else ""
        below = (path.removeprefix(prefix) for path in self._files if path.startswith(prefix))
        return sorted({path.partition("/")[0] for path in below})

    def folders(self, folder: str) -> list[str]:
        """See Place."""
        prefix = f"{folder}/" if folder else ""
        return [name for name in self.names(folder) if f"{prefix}{name}" not in self._files]

    def read(self, paths: Sequence[str]) -> list[bytes]:
        """See Place."""
        return plumbing.read_blobs(self.top, [self._files[path] for path in paths])

    def create(self, path: str, text: str, message: str) -> bool:
        """See Place."""
        for _ in range(_TRIES):
            self.refresh()
            if path in self._files:
                return False
            content = text.encode("utf-8", "backslashreplace")
            commit = plumbing.commit_file(self.top, self.tip, path, content, f"{message}\n")
            if self._publish(commit):
                self._stand_at(commit)
                return True
            time.sleep(random.uniform(0, _LONGEST_WAIT))  # noqa: S311 - so that two writers part, not a secret
        message = f"git:{self.name} was moved by others {_TRIES} times in a row, or a lock is left over"
        help = f"try again; when no git is running, remove a left-over {self.name}.lock below .git/refs"
        raise GreengateError(Diagnostic("git-failed", message, help))

    def shown(self, path: str) -> str:
        """See Place."""
        return f"git:{self.name}:{path}"

    def mend(self, path: str) -> str:
        """See Place."""
        first = self.tip[:12] if self.tip else self.name
        return f"see who changed it with `git log -p {first} -- {path}`; move the branch back to before that"

    def refresh(self) -> None:
        """Look where the branch stands now. Raises GreengateError `git-failed` where its remote cannot be reached."""
        local = git.commit(self.top, self.ref)
        if not plumbing.has_remote(self.top):
            self._stand_at(local)
            return
        theirs = self._theirs = plumbing.remote_tip(self.top, self.ref)
        if theirs is not None:
            if git.commit(self.top, theirs) is None:
                git.fetch(self.top, theirs)
            plumbing.remember(self.top, self.tracking, theirs)
        self._stand_at(self._newer(local, theirs))

    def as_last_seen(self) -> None:
        """Stand where the branch stood when it was last fetched."""
        self._stand_at(self._newer(git.commit(self.top, self.ref), git.commit(self.top, self.tracking)))

    def _newer(self, local: str | None, theirs: str | None) -> str | None:
        """Return the remote's tip, or the local one where that only adds to it."""
        if local is None or theirs is None or local == theirs:
            return theirs or local
        if plumbing.contains(self.top, theirs, local):
            return theirs
        if plumbing.contains(self.top, local, theirs):
            return local
        message = f"the local branch {self.name} holds versions that origin's does not, and lacks some of origin's"
        help = f"accept them again and remove the local branch: `git branch -D {self.name}`"
        raise BaselineError(Diagnostic("baseline-damaged", message, help))

    def _stand_at(self, tip: str | None) -> None:
        if tip != self.tip or tip is None:
            self.tip = tip
            self._files = {} if tip is None else plumbing.listing(self.top, tip)

    def _publish(self, commit: str) -> bool:
        """Let the branch name a commit made on top of `tip`; False when somebody else was first."""
        if plumbing.is_checked_out(self.top, self.ref):
            message = f"the branch {self.name} is checked out, so that adding to it would pull the files from under you"
            raise GreengateError(Diagnostic("git-failed", message, "check out another branch there"))
        if not plumbing.has_remote(self.top):
            return plumbing.move(self.top, self.ref, commit, self.tip)
        if not plumbing.push(self.top, self.ref, commit, self._theirs):
            return False
        plumbing.remember(self.top, self.tracking, commit)
        return True


def open_(name: str, folder: Path) -> Branch:
    """Open the store on a branch of the repository that `folder` is in; it need not exist yet.

    Raises BaselineError `baseline-scheme` for a name that no branch has, `baseline-missing` outside of a repository.
    """
    if not git.is_branch(name):
        help = "write a branch's name, like `git:greengate-baselines`"
        raise BaselineError(Diagnostic("baseline-scheme", f"baseline 'git:{name}': no branch can be called that", help))
    if (top := git.root(folder)) is None:
        message = f"git:{name} is a branch, and this is no git repository"
        raise BaselineError(Diagnostic("baseline-missing", message, "run `git init`, or keep a `dir:` store"))
    return Branch(top, name)


def at_hand(name: str, folder: Path) -> Branch:
    """Return the store as it stands now; where origin cannot be reached, as it was last fetched, which `stale` says.

    Raises BaselineError `baseline-missing` where neither can be had, and what open_ raises.
    """
    branch = open_(name, folder)
    try:
        branch.refresh()
    except BaselineError:
        raise
    except GreengateError as error:
        branch.as_last_seen()
        if branch.tip is None:
            message = f"the branch {name} is not at hand, and origin does not answer: {error.diagnostics[0].message}"
            raise BaselineError(Diagnostic("baseline-missing", message, "check the connection to origin")) from error
        branch.stale = f"as last fetched: {error.diagnostics[0].message}"
    return branch


def find(rest: str, request: Request) -> Found | Missing:
    """Return the newest version on the branch. Raises BaselineError."""
    branch = at_hand(rest, request.folder)
    if branch.tip is None:
        message = f"there is no branch {rest!r}, here or on origin"
        help = f"check the name, or {stored.accept_command(request)}"
        raise BaselineError(Diagnostic("baseline-missing", message, help))
    return stored.newest(branch, f"git:{rest}", request)
