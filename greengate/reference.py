"""The machine that hardware-bound rules are judged on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from greengate.errors import Span
from greengate.profile import Hardware


@dataclass(frozen=True)
class Reference:
    """The machine that hardware-bound rules are judged on, by patterns; None leaves that part open.

    `hardware` matches the processor, the hardware's id, or a GPU that the model runs on; `runtime` matches one runtime
    with its version, as `onnxruntime 1.32.0`. Capital letters make no difference.
    """

    span: Span
    hardware: str | None = None
    runtime: str | None = None

    def differs(self, hardware: Hardware, runtime: Mapping[str, str]) -> str:
        """Say what of a machine is not the reference's; empty where it is the reference."""
        names = [hardware.cpu, hardware.id, *(gpu.name for gpu in hardware.gpus)]
        if self.hardware is not None and not _any_like(names, self.hardware):
            here = ", ".join(gpu.name for gpu in hardware.gpus) or hardware.cpu
            return f"the reference hardware is {self.hardware!r}, this was measured on {here}"
        versions = [f"{name} {version}" for name, version in runtime.items()]
        if self.runtime is not None and not _any_like(versions, self.runtime):
            return f"the reference runtime is {self.runtime!r}, this was measured with {', '.join(versions) or 'none'}"
        return ""


def _any_like(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for name in names)
