"""Models made by the user's own code: `package.module:function`, its arguments and weights. Runs in the worker.

This is trusted code: it runs as it is, in a process without secrets and network, but not in a sandbox.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from greengate.profiler.backends.torch_files import check_file, wanted_code
from greengate.profiler.jobs import Refused
from greengate.profiler.worker import ran_out_of_memory
from greengate.recipe import Recipe

#: Folders below which nothing is the repository's own.
_FOREIGN = frozenset({"site-packages", "dist-packages"})


def make(path: str, recipe: Recipe) -> Any:
    """Return the module that the code named by `path` makes, with its weights. Raises Refused."""
    import torch

    module = _called(path, lambda function: function(**json.loads(recipe.args)))
    if not isinstance(module, torch.nn.Module):
        message = f"{_named(path)} returns {_kind(module)}, not a torch.nn.Module"
        raise Refused("code-failed", message, "return the module itself")
    if recipe.weights is not None:
        put_weights(module, recipe.weights)
    return module


def made_inputs(path: str) -> Any:
    """Return what the code named by `inputs_from` returns. Raises Refused."""
    return _called(path, lambda function: function())


def _named(path: str) -> str:
    return path.rpartition("/")[2]


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _called(path: str, call: Callable[[Any], Any]) -> Any:
    """Import a function and call it; what it raises is the user's to mend, but for a lack of memory."""
    name = _named(path)
    module, _, function = name.partition(":")
    doing = f"importing {module}"
    try:
        found = importlib.import_module(module)
        doing = f"calling {name}"
        if not callable(getattr(found, function, None)):
            raise Refused("code-failed", f"{module} has no function {function!r}", f"define `def {function}(...):`")
        return call(getattr(found, function))
    except Refused:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            where = f"below the folder {Path(path).parent}/"
            help_ = "the folder before the name is where imports begin: `path: src/package.module:function`"
            raise Refused("code-failed", f"there is no module {error.name} {where}", help_) from None
        raise _failed(doing, error) from error
    except Exception as error:
        if isinstance(error, MemoryError) or ran_out_of_memory(f"{type(error).__name__}: {error}"):
            raise
        raise _failed(doing, error) from error
    except SystemExit as error:
        raise Refused("code-failed", f"{doing}: the code ends the process ({error})", "let it return instead") from None


def _failed(doing: str, error: Exception) -> Refused:
    """Return the refusal for what own code raised, with the line of it that did."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    at = "" if last is None else f", in {Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}"
    text = (str(error).strip().splitlines() or [""])[0]
    message = f"{doing} raises {type(error).__name__}: {text}"[:400].rstrip(": ") + at
    return Refused("code-failed", message, "run the function by hand; what it is given stands under `args`")


# --- weights ------------------------------------------------------------------------------------


def put_weights(module: Any, path: str) -> None:
    """Load a file of weights into a module; every name and shape must fit. Raises Refused."""
    stored = read_weights(path)
    try:
        module.load_state_dict(stored, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise Refused("weights-mismatch", f"{path} does not fit the model: {_few(lines)}", _FIT) from None


_FIT = "name the weights that were saved from this very model, or give the arguments that it was made with"


def _few(lines: list[str]) -> str:
    return "; ".join(line[:200] for line in lines[:3]) or "names or shapes differ"


def read_weights(path: str) -> dict[str, Any]:
    """Return the tensors of a safetensors file or of a state dict; no code in it is run. Raises Refused."""
    import torch

    start = check_file(path)
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except SafetensorError as error:
            raise Refused("model-invalid", f"{path} is not a safetensors file: {error}", "save it again") from None
    if not start.startswith((b"PK", b"\x80")):
        raise Refused("model-invalid", f"{path} holds no weights that PyTorch wrote", "name a .safetensors file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - told as what it means for the file
        if wants := wanted_code(path):
            message = f"{path} is a pickle that would import {', '.join(wants)}"
            raise Refused("model-pickle", message, "save only the state dict, best as safetensors") from None
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise Refused("model-invalid", f"{path} cannot be read as weights: {first}", "save it again") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(item, torch.Tensor) for item in found.values()):
        message = f"{path} holds {_kind(found)}, not a state dict of tensors"
        raise Refused("weights-mismatch", message, "save `model.state_dict()`")
    return found


# --- where code comes from ----------------------------------------------------------------------


@contextmanager
def importing(root: Path, keep: bool) -> Iterator[None]:
    """Import from a folder inside; `keep` leaves it and its modules to later imports, else they are forgotten.

    Two versions of one package in one process must not meet: what is forgotten and imported again at a call fails
    loudly, it never becomes the other version.
    """
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = was
        if not keep:
            sys.path.remove(str(root))
            for name, module in list(sys.modules.items()):
                if any(_is_own(path, root) for path in _places(module)) and not _ours(name):
                    del sys.modules[name]


def own_modules(root: Path) -> tuple[Path, ...]:
    """Return the source files below a folder that were imported, but for installed packages."""
    found = [
        path
        for name, module in list(sys.modules.items())
        for path in _places(module)[:1]
        if path.is_file() and _is_own(path, root) and not _ours(name)
    ]
    return tuple(dict.fromkeys(found))


def _places(module: object) -> list[Path]:
    """Return where a module comes from: its file, and the folders of a package, which need not have a file."""
    known = vars(module) if isinstance(module, ModuleType) else {}  # asking by name can make up an answer
    file, folders = known.get("__file__"), known.get("__path__") or ()
    written = [str(item) for item in [*([file] if file else []), *folders]]
    # Modules that are made up as they go name files that are nowhere.
    return [Path(item).resolve() for item in written if Path(item).is_absolute()]


def _is_own(path: Path, root: Path) -> bool:
    here = root.resolve()
    return path.is_relative_to(here) and not _FOREIGN.intersection(path.relative_to(here).parts)


def _ours(name: str) -> bool:
    """Tell whether a module is greengate itself, which is measured with, not measured."""
    return name.partition(".")[0] == "greengate"
