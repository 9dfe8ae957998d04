"""Models out of git's history into a folder: the file, the external data it names, and what Git LFS keeps."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from greengate import files, git
from greengate.git import branch
from greengate.profile import File

#: Bytes of a file that code may read beside itself: such files are small, weights are named.
BESIDE_CODE = 1 << 20

#: An external-data location as protobuf writes it: field 1 is the key "location", field 2 a string of this length.
_LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])", re.DOTALL)


class NotAtHand(Exception):  # noqa: N818 - an answer, not an accident
    """The model is in the commit, but not all of its content is on this machine."""

    def __init__(self, reason: str, help: str) -> None:
        super().__init__(reason)
        self.help = help


def inside(top: Path, path: Path) -> str | None:
    """Return a work tree path from the repository's root, forward slashes; None outside of it.

    Links inside of the repository are not followed: the path is what git knows it as in any commit, whatever folders a
    change has made links of. What leads into the repository may be links.
    """
    real, named = os.path.realpath(top), Path(os.path.abspath(path))  # noqa: PTH100 - follows no links
    for above in (*reversed(named.parents), named):
        if os.path.realpath(above) == real:
            return named.relative_to(above).as_posix()
    return None


def model(top: Path, commit: str, path: str, scratch: Path) -> Path | None:
    """Return the model of a commit in a new folder below `scratch`, its external data beside it; None when absent.

    Raises NotAtHand for external data that is not committed and LFS content that was not downloaded,
    ReportError `cannot-write`, GreengateError `git-failed`.
    """
    if (entry := git.find(top, commit, path)) is None:
        return None
    target = _folder(scratch) / PurePosixPath(path).name
    _save(top, commit, entry, target)
    for location in _locations(target):
        # One that leaves the folder is not ours to follow: the profiler refuses such a model by name.
        if not _stays(location) or (beside := target.parent / location).exists():
            continue
        source = str(PurePosixPath(path).parent / location)
        if (data := git.find(top, commit, source)) is None:
            raise NotAtHand(
                f"{path} at {commit[:12]} needs {location}, which is not in that commit",
                "commit the model's external data, or name another baseline with `--against`",
            )
        _save(top, commit, data, beside)
    return target


def tree(top: Path, commit: str, folder: str, scratch: Path, largest: int | None = None) -> Path | None:
    """Return all files below a folder of a commit (empty: the root) in a new folder below `scratch`; None without any.

    `largest` leaves out files of more bytes, and what Git LFS keeps. Raises as `model` does.
    """
    target = _folder(scratch)
    return target if _fill(top, commit, folder, target, largest) else None


def _fill(top: Path, commit: str, folder: str, target: Path, largest: int | None) -> bool:
    """Write what is below a folder of a commit and not in the target yet; return whether there is anything."""
    inside = f"{folder}/" if folder else ""
    names = [name for name in branch.listing(top, commit) if name.startswith(inside) and _stays(name)]
    for name in names:
        path = target / name.removeprefix(inside)
        if path.exists() or (entry := git.find(top, commit, name)) is None:
            continue
        if largest is None or entry.size <= largest:
            _save(top, commit, entry, path, follow=largest is None)
    return bool(names)


def exactly(
    top: Path, commit: str, folder: str, wanted: tuple[File, ...], scratch: Path, *, beside: int | None = None
) -> Path | None:
    """Return a new folder below `scratch` with these very files of a commit's folder; None unless all bytes match.

    Of what lies `beside` them, files of so many bytes come too: code reads more than is known of it.
    """
    entries = [(file, git.find(top, commit, f"{folder}/{file.path}")) for file in wanted if _stays(file.path)]
    if len(entries) < len(wanted):
        return None
    target = _folder(scratch)
    for file, entry in entries:
        if entry is None or not _matches(top, commit, entry, target / file.path, file):
            shutil.rmtree(target)
            return None
    whole = folder == "."
    if beside is not None and (whole or (real := git.followed(top, commit, folder))):
        _fill(top, commit, "" if whole else real, target, beside)
    return target


def _matches(top: Path, commit: str, entry: git.Entry, target: Path, file: File) -> bool:
    if entry.size not in (file.size, *range(git.LFS_LARGEST + 1)):
        return False
    try:
        _save(top, commit, entry, target)
    except NotAtHand:
        return False
    return target.stat().st_size == file.size and files.sha256(target) == file.sha256


def _folder(scratch: Path) -> Path:
    with files.cannot_write(scratch):
        return Path(tempfile.mkdtemp(dir=scratch, prefix="model-"))


def _save(top: Path, commit: str, entry: git.Entry, target: Path, follow: bool = True) -> None:
    with files.cannot_write(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        git.save_blob(top, entry.blob, target)
        if not follow or entry.size > git.LFS_LARGEST or (sha256 := git.lfs_digest(target.read_bytes())) is None:
            return
        if (content := git.lfs_object(top, sha256)) is None:
            if git.lfs_smudge(top, target.read_bytes(), target) and files.sha256(target) == sha256:
                return
            raise NotAtHand(
                f"{entry.path} at {commit[:12]} is kept in Git LFS and was not downloaded",
                f"install git-lfs and run `git lfs fetch origin {commit}`",
            )
        shutil.copyfile(content, target)


def _stays(path: str) -> bool:
    """Return whether a relative path stays in its folder."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def _locations(path: Path) -> Iterator[str]:
    """Yield where an ONNX file keeps its weights, once a tensor; searches the bytes, for only the profiler has onnx."""
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _LOCATION.finditer(data):
            low, *high = match[1]
            length = low & 0x7F | (high[0] << 7 if high else 0)
            yield data[match.end() : match.end() + length].decode("utf-8", "replace")
