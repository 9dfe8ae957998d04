"""PyTorch models as files: what a path names, whether the file is that, and which files belong to it.

Runs in the worker. What is refused is refused before anything of it is unpickled.
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from greengate.profile import File
from greengate.profiler.jobs import Refused
from greengate.recipe import names_code

Kind = Literal["torchscript", "exported", "factory", "folder"]

_LFS = b"version https://git-lfs"
_AGAIN = "get the file again: save it, download it, or restore it from version control"
#: Pickles begin with the protocol that they are written in.
_PICKLE = b"\x80"
_PICKLED = (
    "save it with torch.jit.save or torch.export.save; or save its state dict, and name the code that makes "
    "the model: `path: package.module:function` with `weights: ...`"
)
_FEW = 5


def kind_of(path: str) -> Kind:
    """Return what a path names."""
    if names_code(path):
        return "factory"
    if Path(path).is_dir():
        return "folder"
    return "exported" if path.endswith(".pt2") else "torchscript"


def check_archive(path: str, kind: Kind) -> None:
    """Refuse a file that is not TorchScript, or not an exported program, with what it is instead."""
    start = check_file(path)
    if not zipfile.is_zipfile(path):
        if start.startswith(_PICKLE):
            raise _pickled(path)
        if start.startswith(b"PK"):
            raise Refused("model-truncated", f"{path} is cut short or damaged", _AGAIN)
        raise Refused("model-invalid", f"{path} is not a file that PyTorch wrote", "name a TorchScript or .pt2 file")
    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2] for name in archive.namelist()}
    found: Kind | None = None
    if "constants.pkl" in inside:
        found = "torchscript"
    elif "archive_format" in inside or any(name.startswith("models/") for name in inside):
        found = "exported"
    if found is None:
        if "data.pkl" in inside:
            raise _pickled(path)
        raise Refused("model-invalid", f"{path} is an archive, but not one of PyTorch's", "name a PyTorch model")
    if found != kind:
        endings = {"torchscript": "TorchScript: let its name end in .pt", "exported": "an exported program: .pt2"}
        raise Refused("model-format", f"{path} is {endings[found].partition(':')[0]}", f"rename it: {endings[found]}")
    if kind == "exported":
        _check_records(path)


#: Where torch.export keeps machine code, which is loaded with the program, and what only an open pickle restores.
_MACHINE_CODE = "data/aotinductor/"
_OPAQUE = "data/constants/opaque_obj_"


def _check_records(path: str) -> None:
    """Refuse an exported program that brings more than a graph and tensors."""
    import torch

    try:
        # As PyTorch itself reads it: names are found whatever their case.
        names = sorted(name.lower() for name in torch._C.PyTorchFileReader(path).get_all_records())
    except RuntimeError:
        raise Refused("model-truncated", f"{path} is cut short or damaged", _AGAIN) from None
    for name in names:
        if name.startswith(_MACHINE_CODE):
            message = f"{path} brings machine code: {name}"
            raise Refused("model-unsupported", message, "save the program itself, with torch.export.save")
        if name.startswith(_OPAQUE):
            raise Refused("model-pickle", f"{path} holds a pickle that can import anything: {name}", _TENSORS)


_TENSORS = "export the model with tensors and plain numbers alone as its weights, constants and example inputs"


def open_pickle(path: str) -> Refused:
    """Return the refusal of an exported program in which a pickle wants more than tensors, with what it wants."""
    wants = _few({name for found in _inner(path) for name in found})
    names = f"that would import {', '.join(wants)}" if wants else "that holds more than tensors"
    return Refused("model-pickle", f"{path} holds a pickle {names}", _TENSORS)


def _inner(path: str) -> Iterator[list[str]]:
    """Yield what each of the archives within an archive asks to import; torch.save writes archives."""
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            with archive.open(item) as file:
                if file.read(2) == b"PK":
                    yield _wanted(io.BytesIO(b"PK" + file.read()))


def check_file(path: str) -> bytes:
    """Return the first bytes of a regular file with something in it. Raises Refused."""
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise Refused("model-invalid", f"{path} is not a regular file", "name a file")
        with Path(path).open("rb") as file:
            start = file.read(len(_LFS))
    except FileNotFoundError:
        raise Refused("model-missing", f"{path} does not exist", "check the path, or create the model first") from None
    except OSError as error:
        raise Refused("unreadable-file", f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    if not start:
        raise Refused("model-empty", f"{path} is empty", _AGAIN)
    if start == _LFS:
        raise Refused("model-lfs-pointer", f"{path} is a Git LFS pointer, not the model", "run `git lfs pull`")
    return start


def _pickled(path: str) -> Refused:
    wants = wanted_code(path)
    names = f", which would import {', '.join(wants)}" if wants else ""
    return Refused("model-pickle", f"{path} is a pickle, not a model{names}", _PICKLED)


def wanted_code(path: str) -> list[str]:
    """Return what a pickle asks to import beyond what weights need, the first few; nothing is imported for it."""
    return _few(_wanted(path))


def _wanted(file: str | io.BytesIO) -> list[str]:
    import torch

    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # noqa: BLE001 - a damaged pickle, or one older than archives, does not tell
        return []


def _few(names: Iterable[str]) -> list[str]:
    found = sorted(names)
    return found[:_FEW] + ([f"{len(found) - _FEW} more"] if len(found) > _FEW else [])


# --- digests ------------------------------------------------------------------------------------


def one_file(path: Path, name: str) -> File:
    """Return a file with its digest, under a name. Raises Refused."""
    try:
        with path.open("rb") as file:
            return File(name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
    except OSError as error:
        raise Refused("unreadable-file", f"{path} cannot be read: {error.strerror}", "check its permissions") from None


def folder_files(folder: Path) -> tuple[File, ...]:
    """Return every file below a folder in the order of their paths, hidden ones left out."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder) for path in found]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return tuple(one_file(folder / name, name.as_posix()) for name in shown)


def code_files(root: Path, modules: Iterable[Path], weights: str | None, args: str) -> tuple[File, ...]:
    """Return what a model made by code consists of: weights, arguments, and the repository's modules it loaded."""
    found = [] if weights is None else [one_file(Path(weights), _inside(root, Path(weights)))]
    if args != "{}":
        found.append(File("args", hashlib.sha256(args.encode()).hexdigest(), len(args.encode())))
    sources = sorted((path.relative_to(root).as_posix(), path) for path in modules)
    return (*found, *(one_file(path, name) for name, path in sources))


def _inside(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
