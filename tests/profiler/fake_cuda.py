"""Stands in for a GPU where there is none: a driver, and sessions of onnxruntime whose profile says what it is told."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from greengate.profiler.backends.onnx_device import CPU, CUDA

SIZE = 80 * 1024**3
UUID = "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"


@dataclass
class Driver:
    """The part of libcuda that greengate asks; every board has the same UUID but for its first byte."""

    boards: int = 1
    name: str = "NVIDIA Fake"
    broken: bool = False

    def cuInit(self, flags: int) -> int:  # noqa: N802 - as the driver calls it
        return int(self.broken)

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self.boards
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:  # noqa: N802
        handle._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, length: int, handle: Any) -> int:  # noqa: N802
        name.value = f"{self.name} {handle.value}".encode()[: length - 1]
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, handle: Any) -> int:  # noqa: N802
        size._obj.value = SIZE
        return 0

    def cuDeviceGetUuid(self, raw: Any, handle: Any) -> int:  # noqa: N802
        ctypes.memmove(raw, bytes([handle.value, *range(1, 16)]), 16)
        return 0


class Session:
    """A session of the CPU that says it is CUDA's, but for the operators in `fallen`; its memory is the CPU's."""

    def __init__(self, real: Any, providers: list[Any], fallen: Mapping[str, str], silent: bool) -> None:
        self.real, self.providers, self.fallen, self.silent = real, providers, fallen, silent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def get_providers(self) -> list[str]:
        return [CPU] if self.silent else [CUDA, CPU]

    def end_profiling(self) -> str:
        path = Path(self.real.end_profiling())
        events = json.loads(path.read_text())
        for event in events:
            told = event.get("args", {})
            if "provider" in told and told["op_name"] not in self.fallen:
                told["provider"] = CUDA
        path.write_text("[\n" + ",\n".join(json.dumps(event, separators=(",", " :")) for event in events) + "\n]")
        return str(path)
