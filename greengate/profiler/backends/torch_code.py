"""Models made by the user's own code: `package.module:function`, its arguments and weights. Runs in the worker.

This is trusted code: it runs as it is, in a process without secrets and network, but not in a sandbox.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from greengate.profiler.backends.torch_state import put_weights
from greengate.profiler.jobs import Refused
from greengate.profiler.worker import ran_out_of_memory
from greengate.recipe import Recipe

#: Folders below which nothing is the repository's own.
_FOREIGN = frozenset({"site-packages", "dist-packages"})

#: Where Python's own modules lie, which can be in a folder of the repository too.
_PYTHON = Path(os.__file__).parent


def make(path: str, recipe: Recipe, seed: int) -> Any:
    """Return the module that the code named by `path` makes, generators seeded, with its weights. Raises Refused."""
    import torch

    module = _called(path, seed, lambda function: function(**json.loads(recipe.args)))
    if not isinstance(module, torch.nn.Module):
        message = f"{_named(path)} returns {_kind(module)}, not a torch.nn.Module"
        raise Refused("code-failed", message, "return the module itself")
    if hasattr(module, "_orig_mod"):  # its parameters have other names, its forward takes anything
        message = f"{_named(path)} returns a module that torch.compile wraps"
        raise Refused("model-unsupported", message, "return the module itself and write `compile: true`")
    if recipe.weights is not None:
        put_weights(module, recipe.weights)
    _check_sizes(module, path)
    return module


def _check_sizes(module: Any, path: str) -> None:
    """Refuse a module whose parameters or buffers get their shapes in a first call."""
    from torch.nn.parameter import is_lazy

    named = [*module.named_parameters(), *module.named_buffers()]
    if lazy := [name for name, item in named if is_lazy(item)]:
        listed = ", ".join(lazy[:3]) + (f" and {len(lazy) - 3} more" if len(lazy) > 3 else "")
        message = f"{_named(path)} returns a module with parameters that have no shape yet: {listed}"
        raise Refused("model-unsupported", message, "call it once in the function that makes it")


def made_inputs(path: str, seed: int) -> Any:
    """Return what the code named by `inputs_from` returns; generators are seeded for it. Raises Refused."""
    return _called(path, seed, lambda function: function())


def reseed(seed: int) -> None:
    """Seed Python's, numpy's and PyTorch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _named(path: str) -> str:
    return path.rpartition("/")[2]


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _called(path: str, seed: int, call: Callable[[Any], Any]) -> Any:
    """Import a function and call it, generators seeded for both. Raises Refused."""
    name = _named(path)
    module, _, function = name.partition(":")
    reseed(seed)
    with _own_code(f"importing {module}"):
        found = _imported(path, module)
    with _own_code(f"calling {name}"):
        if not callable(getattr(found, function, None)):
            raise Refused("code-failed", f"{module} has no function {function!r}", f"define `def {function}(...):`")
        reseed(seed)  # again: what it imports may have drawn, and is not imported in every process alike
        return call(getattr(found, function))


def _imported(path: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        where = f"below the folder {Path(path).parent}/"
        help_ = "the folder before the name is where imports begin: `path: src/package.module:function`"
        raise Refused("code-failed", f"there is no module {error.name} {where}", help_) from None


def evaluate(module: Any, path: str) -> None:
    """Call a module's own `eval()`, which may fold or merge what it runs with. Raises Refused."""
    held = [(item, _refusing(item)) for item in module.modules()]
    for item, names in held:
        for name in names:
            del vars(item)[name]
    try:
        with _own_code(f"calling eval() of {_named(path)}"):
            module.eval()
    finally:
        for item, names in held:
            vars(item).update(names)


def _refusing(item: Any) -> dict[str, Any]:
    """Return what an exported program's module refuses to change its mode with, be it a part of another module."""
    return {
        name: method
        for name in ("train", "eval")
        if str(getattr(method := vars(item).get(name), "__module__", "")).startswith("torch.export.")
    }


@contextmanager
def _own_code(doing: str) -> Iterator[None]:
    """Run the user's own code inside: what it raises is theirs to mend, but for a lack of memory. Raises Refused."""
    try:
        yield
    except Refused:
        raise
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
            for name in _own(root):
                del sys.modules[name]


@contextmanager
def importing_anew(root: Path, other: Path) -> Iterator[None]:
    """Import from a folder inside as if nothing of it, nor of the `other`, had been; all is as before afterwards."""
    known = {name: sys.modules[name] for one in (root, other) for name in _own(one)}
    path = list(sys.path)
    for name in known:
        del sys.modules[name]
    sys.path[:] = [entry for entry in path if entry not in (str(root), str(other))]
    try:
        with importing(root, keep=False):
            yield
    finally:
        sys.path[:] = path
        sys.modules.update(known)


def own_modules(root: Path) -> tuple[Path, ...]:
    """Return the source files below a folder that were imported, but for installed packages."""
    return tuple(dict.fromkeys(place for place in _own(root).values() if place.is_file()))


def _own(root: Path) -> dict[str, Path]:
    """Return the modules below a folder that are imported now, by name, and the first place of each there."""
    here = root.resolve()
    found = {name: _places(module, here) for name, module in list(sys.modules.items()) if not _ours(name)}
    return {name: places[0] for name, places in found.items() if places}


def _places(module: object, root: Path) -> list[Path]:
    """Return where below a folder a module lies: its file, and the folders of a package, which need not have a file.

    By its name, or where links lead: either way it is the repository's own, installed packages apart.
    """
    known = vars(module) if isinstance(module, ModuleType) else {}  # asking by name can make up an answer
    file, folders = known.get("__file__"), known.get("__path__") or ()
    written = [Path(str(item)) for item in [*([file] if file else []), *folders]]
    # Modules that are made up as they go name files that are nowhere.
    both = [(item, _real(item)) for item in written if item.is_absolute()]
    return [inside[0] for item in both if (inside := [path for path in item if _is_own(path, root)])]


@cache
def _real(path: Path) -> Path:
    """Return where links lead; remembered, since every module is asked again and again."""
    return path.resolve()


def _is_own(path: Path, root: Path) -> bool:
    inside = path.is_relative_to(root) and not path.is_relative_to(_PYTHON)
    return inside and not _FOREIGN.intersection(path.relative_to(root).parts)


def _ours(name: str) -> bool:
    """Tell whether a module is greengate itself, which is measured with, not measured."""
    return name.partition(".")[0] == "greengate"
