"""NVIDIA GPUs through the driver's management library: the total-energy counter, else power, integrated.

Devices are named by UUID: their order changes with CUDA's variables. The library is held open from `discover` to
`close`, so that a driver without persistence does not begin counting anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from greengate.power import Domain, DomainKind
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

#: Reasons for slower clocks that spoil a measurement, by NVML's bit; a power cap is the steady state of large boards.
_THROTTLING = {0x8: "a hardware slowdown", 0x20: "heat", 0x40: "heat, by hardware", 0x80: "the power brake"}
_MILLIJOULE = 1e-3
_INSTALL = "pip install 'greengate-ci[nvidia]'"
#: Where the kernel's driver lists its boards, whether or not anything here may ask them.
BOARDS = Path("/proc/driver/nvidia/gpus")


def make() -> Nvml:
    """Return the meter of this machine."""
    return Nvml()


class Nvml:
    """Talks to libnvidia-ml through nvidia-ml-py; `boards` is the folder where the kernel lists them."""

    every = 0.002
    strict = False

    def __init__(self, boards: Path = BOARDS) -> None:
        self._boards = boards
        self._nvml: ModuleType | None = None
        self._handles: dict[str, Any] = {}
        self._power: dict[str, Callable[[], float]] = {}
        self._sums: dict[str, tuple[int, float, float]] = {}

    def discover(self) -> Found:
        """Return a domain for every board; boards in MIG mode and boards without counter and sensor with the reason."""
        try:
            import pynvml
        except ImportError:
            return self._none("nvidia-ml-py is not installed", _INSTALL)
        if not hasattr(pynvml, "_nvmlGetFunctionPointer"):
            reason = "another package named pynvml stands in the way of nvidia-ml-py"
            return self._none(reason, f"pip uninstall pynvml, then {_INSTALL}")
        try:
            pynvml.nvmlInit()
            self._nvml = pynvml
            boards = range(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as error:
            return self._none(*_no_driver(pynvml, error))
        found = [self._board(pynvml, index) for index in boards]
        if not found:
            return self._none("the driver finds no GPU", "`nvidia-smi -L` must list one")
        domains = tuple(one for one in found if isinstance(one, Domain))
        return Found(domains, tuple(one for one in found if isinstance(one, Absent)))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return the energy counter now, or the power integrated until now. Raises MeterError."""
        if domain.id in self._power:
            return (self._integrate(domain.id),)
        before = time.monotonic_ns()
        count = self._ask(domain.id, "nvmlDeviceGetTotalEnergyConsumption")
        return (Tick((before + time.monotonic_ns()) // 2, int(count)),)

    def health(self, domain: Domain) -> Health:
        """Return temperature, throttling, computing processes, MIG, power and its limit, as far as the board tells."""
        nvml = self._library()
        bits = int(self._told(domain.id, "nvmlDeviceGetCurrentClocksThrottleReasons") or 0)
        watts = self._told(domain.id, "nvmlDeviceGetPowerUsage")
        limit = self._told(domain.id, "nvmlDeviceGetEnforcedPowerLimit")
        degrees = self._told(domain.id, "nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        mode = self._told(domain.id, "nvmlDeviceGetMigMode")
        processes = self._told(domain.id, "nvmlDeviceGetComputeRunningProcesses")
        return Health(
            temperature=None if degrees is None else float(degrees),
            throttled=tuple(why for bit, why in _THROTTLING.items() if bits & bit),
            processes=None if processes is None else len(processes),
            mig=bool(mode and mode[0]),
            watts=None if watts is None else self._watts(domain.id, float(watts) * 1e-3),
            limit=None if limit is None else limit * 1e-3,
        )

    def close(self) -> None:
        """Let go of the driver."""
        if self._nvml is not None:
            nvml, self._nvml = self._nvml, None
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:  # it is gone already
                return

    def _none(self, reason: str, help_: str) -> Found:
        """Say that no board can be asked; where the kernel has some, they draw."""
        kind: DomainKind | None = "gpu" if any(self._boards.glob("*")) else None
        return Found(absent=(Absent("NVIDIA", reason, help_, kind),))

    def _board(self, nvml: ModuleType, index: int) -> Domain | Absent:
        name = f"GPU {index}"
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid, model = str(nvml.nvmlDeviceGetUUID(handle)), str(nvml.nvmlDeviceGetName(handle))
        except (nvml.NVMLError, ValueError) as error:  # a name that is no UTF-8 as well
            return Absent(name, f"the driver does not open it: {error}", kind="gpu")
        name = f"nvml:{uuid}"
        self._handles[name] = handle
        if (mode := self._told(name, "nvmlDeviceGetMigMode")) and mode[0]:
            reason = f"{model} is split by MIG: its counter is the whole board's, other instances included"
            return Absent(name, reason, f"`sudo nvidia-smi -i {uuid} -mig 0` where the board is yours alone", "gpu")
        if self._told(name, "nvmlDeviceGetTotalEnergyConsumption") is not None:
            return Domain(name, "gpu", "counter", f"{model}, the whole board", _MILLIJOULE)
        for about, power, span in (
            ("power at the instant", self._instant, 0.0),
            ("power averaged over a second", self._average, 1.0),
        ):
            try:
                power(name)
            except (MeterError, nvml.NVMLError):
                continue
            self._power[name] = partial(power, name)
            return Domain(name, "gpu", "integrated", f"{model}, {about}, integrated", 1e-6, span=span)
        return Absent(name, f"{model} has neither an energy counter nor a power sensor that may be read", kind="gpu")

    def _instant(self, name: str) -> float:
        nvml = self._library()
        (field,) = nvml.nvmlDeviceGetFieldValues(self._handles[name], [nvml.NVML_FI_DEV_POWER_INSTANT])
        if field.nvmlReturn != nvml.NVML_SUCCESS:
            raise MeterError(f"{name} does not tell its instant power")
        return float(field.value.uiVal) * 1e-3

    def _average(self, name: str) -> float:
        return float(self._ask(name, "nvmlDeviceGetPowerUsage")) * 1e-3

    def _watts(self, name: str, average: float) -> float:
        """Return the instant power where the board tells it, else its average."""
        nvml = self._library()
        try:
            return self._instant(name)
        except (MeterError, nvml.NVMLError):
            return average

    def _integrate(self, name: str) -> Tick:
        """Add the trapezoid since the last read, in microjoules."""
        try:
            watts, now = self._power[name](), time.monotonic_ns()
        except self._library().NVMLError as error:
            raise MeterError(f"{name} cannot be read any more: {error}") from error
        then, before, total = self._sums.get(name, (now, watts, 0.0))
        total += (watts + before) / 2 * (now - then) * 1e-3
        self._sums[name] = (now, watts, total)
        return Tick(now, round(total))

    def _library(self) -> ModuleType:
        if self._nvml is None:
            raise MeterError("the management library is closed")
        return self._nvml

    def _ask(self, name: str, function: str, *arguments: object) -> Any:
        nvml = self._library()
        try:
            return getattr(nvml, function)(self._handles[name], *arguments)
        except nvml.NVMLError as error:
            raise MeterError(f"{name} cannot be read any more: {error}") from error

    def _told(self, name: str, function: str, *arguments: object) -> Any:
        """Return what the board answers, None where it does not support the question."""
        try:
            return self._ask(name, function, *arguments)
        except MeterError:
            return None


def _no_driver(nvml: ModuleType, error: Exception) -> tuple[str, str]:
    """Say why the management library does not start, and what would start it."""
    if isinstance(error, nvml.NVMLError_LibraryNotFound):
        return "libnvidia-ml.so.1 is not installed", "it comes with the NVIDIA driver; in a container `--gpus all`"
    if isinstance(error, nvml.NVMLError_DriverNotLoaded):
        return "the NVIDIA driver is not loaded", "`sudo modprobe nvidia`; in a container `--gpus all`"
    return f"the NVIDIA management library does not start: {error}", "`nvidia-smi` must work"
