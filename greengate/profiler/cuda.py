"""What the CUDA driver itself knows of its devices, for runtimes that do not tell. Nothing is started on a device."""

from __future__ import annotations

import contextlib
import ctypes
import uuid
from dataclasses import dataclass
from typing import Any

from greengate.profile import Gpu, Missing
from greengate.profiler.boards import board_of

_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")


@dataclass(frozen=True)
class Device:
    """One device in the order in which CUDA numbers them for this process."""

    index: int
    name: str
    uuid: str
    memory: int

    @property
    def gpu(self) -> Gpu:
        """What of the board changes measurements."""
        return board_of(self.uuid, self.name, self.memory)


def device(name: str, driver: Any = None) -> Device | Missing:
    """Return the device that `cuda` or `cuda:1` names; Missing where it is not there.

    `driver` is libcuda, or what stands in for it.
    """
    found = _devices(_load() if driver is None else driver)
    index = int(name.partition(":")[2] or 0)
    if index < len(found):
        return found[index]
    seen = f"the driver has {len(found)} NVIDIA GPU{'s' * (len(found) != 1)} here" if found else "no NVIDIA GPU is here"
    return Missing(
        f"the device {name} is not there: {seen}",
        "unavailable",
        "measure on a machine that has it, or write `device: cpu`",
    )


def _load() -> Any:
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(name)
    return None


def _devices(driver: Any) -> list[Device]:
    count = ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_device(driver, index) for index in range(count.value)]


def _device(driver: Any, index: int) -> Device:
    handle, size = ctypes.c_int(), ctypes.c_size_t()
    name, raw = ctypes.create_string_buffer(256), ctypes.create_string_buffer(16)
    driver.cuDeviceGet(ctypes.byref(handle), index)
    driver.cuDeviceGetName(name, len(name), handle)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), handle)
    # The second version tells a MIG partition's own.
    told = not getattr(driver, "cuDeviceGetUuid_v2", driver.cuDeviceGetUuid)(raw, handle)
    kind = "MIG" if "MIG" in name.value.decode("utf-8", "replace") else "GPU"
    written = f"{kind}-{uuid.UUID(bytes=raw.raw)}" if told else ""
    return Device(index, name.value.decode("utf-8", "replace"), written, int(size.value))
