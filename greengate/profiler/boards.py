"""The NVIDIA boards of this machine, as far as they change measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greengate.profile import Gpu, Missing

#: What to look at where a driver is there and a board is not.
_SMI = "`nvidia-smi` and the kernel's log say more; a board that is lost comes back when the machine starts again"


def boards() -> tuple[Gpu | Missing, ...] | Missing:
    """Return the boards, a MIG partition standing for its own; Missing, with the next step, where they cannot be told.

    A board that does not answer at all is Missing in its own place: one that is lost takes no other with it. What a
    board does not tell is left out. Nothing is changed on it.
    """
    try:
        import pynvml
    except ImportError:
        return Missing("nvidia-ml-py is not installed", "unavailable", "pip install 'greengate-ci[nvidia]'")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Missing(f"the NVIDIA driver does not answer: {error}", "unavailable", "none is needed without a GPU")
    try:
        return tuple(found for index in range(pynvml.nvmlDeviceGetCount()) for found in _told(pynvml, index))
    except pynvml.NVMLError as error:
        return Missing(f"the NVIDIA driver does not count its boards: {error}", "unavailable", _SMI)
    finally:
        pynvml.nvmlShutdown()


def _told(nvml: Any, index: int) -> tuple[Gpu | Missing, ...]:
    try:
        return _board(nvml, index)
    except nvml.NVMLError as error:
        return (Missing(f"GPU {index} does not answer: {error}", "unavailable", _SMI),)


def board_of(uuid: str, name: str, memory: int) -> Gpu:
    """Return the board with this UUID as NVIDIA's management library tells it, else what is known of it already."""
    told = boards()
    each = (told,) if isinstance(told, Missing) else told
    same = [one for one in each if isinstance(one, Gpu) and one.facts.get("UUID") == uuid]
    if same and uuid:
        return same[0]
    why = "; ".join(one.reason for one in each if isinstance(one, Missing)) or "it does not know the board"
    return Gpu(name, memory, facts=({"UUID": uuid} if uuid else {}) | {"power limit": f"not told: {why}"})


def held(uuid: str) -> int | None:
    """Return the bytes that are taken on the board with this UUID, by whomever; None where nobody tells."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - not installed, or no driver
        return None
    try:
        found = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    return int(found.used)


def _board(nvml: Any, index: int) -> tuple[Gpu, ...]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def ask(question: Callable[..., Any], *more: Any) -> Any:
        try:
            return question(handle, *more)
        except nvml.NVMLError:
            return None

    whole = _gpu(nvml, handle, ask)
    mode = ask(nvml.nvmlDeviceGetMigMode)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return (whole,)
    parts = [ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, place) for place in range(_most_parts(nvml, ask))]
    return tuple(_part(nvml, whole, part) for part in parts if part is not None)


def _gpu(nvml: Any, handle: Any, ask: Callable[..., Any]) -> Gpu:
    memory, limit = ask(nvml.nvmlDeviceGetMemoryInfo), ask(nvml.nvmlDeviceGetEnforcedPowerLimit)
    highest = ask(nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM)
    running = ask(nvml.nvmlDeviceGetApplicationsClock, nvml.NVML_CLOCK_SM)
    told = {
        "driver": _text(nvml.nvmlSystemGetDriverVersion()),
        "highest SM clock": f"{highest} MHz" if highest else "",
        "SM clock asked for": f"{running} MHz" if running else "",
        "ECC": {1: "on", 0: "off"}.get((ask(nvml.nvmlDeviceGetEccMode) or [None])[0], ""),
        "UUID": _text(ask(nvml.nvmlDeviceGetUUID) or ""),
    }
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory=int(memory.total) if memory is not None else 0,
        power_limit=limit / 1000 if limit else 0.0,
        facts={name: text for name, text in told.items() if text},
    )


def _most_parts(nvml: Any, ask: Callable[..., Any]) -> int:
    return int(ask(nvml.nvmlDeviceGetMaxMigDeviceCount) or 0)


def _part(nvml: Any, whole: Gpu, handle: Any) -> Gpu:
    name = _text(nvml.nvmlDeviceGetName(handle))
    profile = name.rpartition("MIG ")[2] if "MIG " in name else name
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    facts = {**whole.facts, "UUID": _text(nvml.nvmlDeviceGetUUID(handle))}
    return Gpu(whole.name, int(memory.total), whole.power_limit, profile, facts)


def _text(told: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
