"""Opening a PyTorch model, whatever it is stored as. Runs in the worker."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from greengate.profile import File
from greengate.profiler.backends import torch_code
from greengate.profiler.backends.torch_files import (
    Kind,
    check_archive,
    check_file,
    code_files,
    folder_files,
    kind_of,
    one_file,
    open_pickle,
)
from greengate.profiler.jobs import Refused
from greengate.profiler.worker import ran_out_of_memory
from greengate.recipe import NO_RECIPE, Recipe


@dataclass(frozen=True)
class Opened:
    """A model in evaluation mode: `module` is what is called, `program` the exported program behind it.

    `files` are read when asked for: what code loads at its first call belongs to it.
    """

    path: str
    kind: Kind
    module: Any
    files: Callable[[], tuple[File, ...]]
    program: Any = None


def open_model(path: str, recipe: Recipe = NO_RECIPE, keep: bool = True, seed: int = 0) -> Opened:
    """Open a model; code that makes one draws from `seed`. Raises Refused. `keep` as in torch_code.importing."""
    kind = kind_of(path)
    if kind != "factory" and recipe != NO_RECIPE:
        message = f"{path} is a model itself: `weights` and `args` are for code that makes one"
        raise Refused("model-invalid", message, "remove them, or write `path: package.module:function`")
    opened = {"torchscript": _script, "exported": _exported, "folder": _folder}
    found = _made(path, recipe, keep, seed) if kind == "factory" else opened[kind](path)
    evaluating(found.module)
    return found


def evaluating(module: Any) -> Any:
    """Return the module with every part told that it evaluates, which exported programs refuse to be by `eval()`."""
    for item in module.modules():
        item.training = False
    return module


def _made(path: str, recipe: Recipe, keep: bool, seed: int) -> Opened:
    root = Path(path).parent.resolve()
    with torch_code.importing(root, keep):
        module = torch_code.make(path, recipe, seed)
        torch_code.evaluate(module, path)

    def files() -> tuple[File, ...]:
        return code_files(root, torch_code.own_modules(root), recipe.weights, recipe.args)

    return Opened(path, "factory", module, files)


def _only(path: str) -> Callable[[], tuple[File, ...]]:
    return lambda: (one_file(Path(path), Path(path).name),)


def _script(path: str) -> Opened:
    import torch

    check_archive(path, "torchscript")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        module = _loaded(path, lambda: torch.jit.load(path, map_location="cpu"))
    return Opened(path, "torchscript", module, _only(path))


def _exported(path: str) -> Opened:
    check_archive(path, "exported")
    program = _loaded(path, lambda: _program(path))
    return Opened(path, "exported", program.module(), _only(path), program)


def _program(path: str) -> Any:
    import torch

    with _tensors_only():
        try:
            return torch.export.load(path)
        except UnpicklingError:
            raise open_pickle(path) from None


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Have PyTorch restore nothing but tensors from pickles, also where its own code asks for more, as torch.export."""
    before = os.environ.get(_FORCED)
    os.environ[_FORCED] = "1"
    try:
        yield
    finally:
        del os.environ[_FORCED]
        if before is not None:
            os.environ[_FORCED] = before


_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def _loaded(path: str, load: Callable[[], Any]) -> Any:
    """Let PyTorch read a file. Raises Refused with its first line, MemoryError where memory ran out."""
    try:
        return load()
    except Refused:
        raise
    except Exception as error:
        text = str(error).strip()
        if ran_out_of_memory(f"{type(error).__name__}: {text}"):
            raise MemoryError(text[:200]) from error
        first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
        raise Refused("model-invalid", f"{path}: PyTorch refuses it: {first[:300]}", "save the model again") from None


# --- folders in the style of Hugging Face -------------------------------------------------------

_EXTRA = "pip install transformers safetensors"


def _folder(path: str) -> Opened:
    if not (Path(path) / "config.json").is_file():
        raise Refused("model-missing", f"{path} is a folder without config.json", "name a model file, or its folder")
    check_file(f"{path}/config.json")
    weights = sorted(Path(path).glob("*.safetensors"))
    if not weights:
        pickles = sorted(item.name for item in Path(path).glob("*.bin"))
        if pickles:
            raise Refused("model-pickle", f"{path}/{pickles[0]} is a pickle", "save the model with safetensors")
        raise Refused("model-missing", f"{path} has no weights: no file ends in .safetensors", "save the weights there")
    for file in weights:
        check_file(str(file))
    for package in ("transformers", "safetensors"):
        if util.find_spec(package) is None:
            raise Refused("extra-missing", f"{path} needs {package}, which is not installed", _EXTRA)
    module = _pretrained(path)
    torch_code.evaluate(module, path)
    return Opened(path, "folder", module, lambda: folder_files(Path(path)))


def _pretrained(path: str) -> Any:
    """Load the architecture that config.json names: offline, safetensors only, no code from the folder."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = _loaded(path, lambda: transformers.AutoConfig.from_pretrained(path, **_OFFLINE))
    if getattr(config, "auto_map", None):
        message = f"{path}: config.json asks for code of its own (auto_map)"
        raise Refused("model-unsupported", message, "name that code yourself: `path: package.module:function`")
    architecture = (config.architectures or ["AutoModel"])[0]
    known = getattr(transformers, architecture, None)
    if known is None:
        message = f"{path}: transformers {transformers.__version__} has no {architecture}"
        raise Refused("model-unsupported", message, "install a version that has it")
    options = {**_OFFLINE, "use_safetensors": True, "output_loading_info": True, "dtype": "auto"}
    module, told = _loaded(path, lambda: known.from_pretrained(path, **options))
    absent = [*sorted(told["missing_keys"]), *sorted(str(item[0]) for item in told["mismatched_keys"])]
    if absent:
        listed = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        message = f"{path}: the weights lack what {architecture} needs: {listed}"
        raise Refused("weights-mismatch", message, "save the folder again with save_pretrained")
    return module


_OFFLINE = {"local_files_only": True, "trust_remote_code": False}
