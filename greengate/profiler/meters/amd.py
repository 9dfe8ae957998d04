"""AMD GPUs through the system's amdsmi, which comes with ROCm; calibration drops counters that freeze or run backwards.

The energy counter of some boards is constant within a process, too small, or runs backwards: the calibration holds
it beside power x time, which other meters are only told about.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from greengate.energy import digits
from greengate.power import Domain
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

_INSTALL = "install ROCm's amdsmi: `sudo apt install amd-smi-lib`, then `pip install /opt/rocm/share/amd_smi`"


def make() -> Amd:
    """Return the meter of this machine."""
    return Amd()


class Amd:
    """Talks to amdsmi; its answers differ from release to release, so what is absent counts as not told."""

    every = 0.005
    strict = True

    def __init__(self) -> None:
        self._smi: Any = None
        self._handles: dict[str, Any] = {}
        self._slots: dict[str, str] = {}

    def discover(self) -> Found:
        """Return a domain for every board with an energy counter."""
        try:
            import amdsmi  # type: ignore[import-not-found, unused-ignore]
        except Exception as error:  # noqa: BLE001 - without ROCm it raises KeyError, among others
            reason = "amdsmi is not installed" if isinstance(error, ImportError) else f"amdsmi does not load: {error}"
            return Found(absent=(Absent("AMD", reason, _INSTALL),))
        try:
            amdsmi.amdsmi_init()
            self._smi = amdsmi
            handles = list(amdsmi.amdsmi_get_processor_handles())
        except Exception as error:  # noqa: BLE001 - foreign code; its own errors share no base with ours
            return Found(absent=(Absent("AMD", f"amdsmi does not start: {error}", "`amd-smi list` must work"),))
        if not handles:
            return Found(absent=(Absent("AMD", "the driver finds no GPU", "`amd-smi list` must list one"),))
        found = [self._board(handle) for handle in handles]
        domains = tuple(one for one in found if isinstance(one, Domain))
        return Found(domains, tuple(one for one in found if isinstance(one, Absent)))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """Return the energy accumulator now. Raises MeterError."""
        before = time.monotonic_ns()
        told = self._ask("amdsmi_get_energy_count", domain.id)
        after = time.monotonic_ns()
        try:
            return (Tick((before + after) // 2, _accumulator(told)),)
        except (KeyError, ValueError, TypeError) as error:  # "N/A" of a board that is reset, or gone
            raise MeterError(f"{domain.id} cannot be read any more: it tells {told!r}") from error

    def health(self, domain: Domain) -> Health:
        """Return computing processes, power and its limit, as far as the board tells."""
        power = self._told("amdsmi_get_power_info", domain.id)
        power = power if isinstance(power, dict) else {}
        processes = self._told("amdsmi_get_gpu_process_list", domain.id)
        limit = _number(power.get("power_limit"))
        return Health(
            processes=len(processes) if isinstance(processes, list | tuple) else None,
            watts=_number(power.get("current_socket_power")) or _number(power.get("average_socket_power")),
            limit=limit if limit is None or limit < 10_000 else limit * 1e-6,  # some releases say microwatts
        )

    def close(self) -> None:
        """Let go of the driver."""
        if self._smi is not None:
            smi, self._smi = self._smi, None
            try:
                smi.amdsmi_shut_down()
            except Exception:  # noqa: BLE001 - it is gone already
                return

    def _board(self, handle: Any) -> Domain | Absent:
        try:
            uuid = str(self._smi.amdsmi_get_gpu_device_uuid(handle))
            name = f"amd:{uuid}"
            if twin := self._twin(uuid, handle):
                return twin
            self._handles[name] = handle
            told = self._smi.amdsmi_get_energy_count(handle)
            _accumulator(told)
            resolution = float(told["counter_resolution"])
        except Exception as error:  # noqa: BLE001 - foreign code
            return Absent("AMD GPU", f"it tells no energy: {error}", kind="gpu")
        if not resolution > 0:
            return Absent(name, "its energy counter has no resolution", kind="gpu")
        return Domain(name, "gpu", "counter", "AMD GPU, the whole board", resolution * 1e-6)

    def _twin(self, uuid: str, handle: Any) -> Absent | None:
        """Say that a board was seen already: in partitions each is a handle, and all have the board's one counter."""
        name = f"amd:{uuid}"
        for known in self._handles:
            if digits(known.removeprefix("amd:")) == digits(uuid):
                return Absent(f"{name}, again", f"it is the same board as {known}, whose counter is the whole board's")
        try:
            slot = str(self._smi.amdsmi_get_gpu_device_bdf(handle)).rpartition(".")[0]
        except Exception:  # noqa: BLE001 - foreign code; it does not tell, and the name is what is left
            return None
        if slot and (there := self._slots.setdefault(slot, name)) != name:
            return Absent(
                name, f"it is in one slot with {there}: whether they share a counter is not known", kind="gpu"
            )
        return None

    def _ask(self, function: str, name: str) -> Any:
        try:
            return getattr(self._smi, function)(self._handles[name])
        except Exception as error:
            raise MeterError(f"{name} cannot be read any more: {error}") from error

    def _told(self, function: str, name: str) -> Any:
        try:
            return self._ask(function, name)
        except MeterError:
            return None


def _accumulator(told: Any) -> int:
    """Return the counter, which older releases call `power`. Raises KeyError, ValueError, TypeError."""
    return int(told["energy_accumulator"] if "energy_accumulator" in told else told["power"])


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
