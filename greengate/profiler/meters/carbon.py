"""codecarbon's model of the processor, through its offline tracker: no sockets, no files, no settings but ours.

The constant that codecarbon adds for memory is left out: it tells one model from another by nothing but time.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from greengate.power import Domain
from greengate.profiler.meters import Absent, Found, Health, MeterError, Tick

_MICROJOULES_A_KWH = 3.6e12

#: Everything that codecarbon would else take from `.codecarbon.config` in this folder or at home, or from CODECARBON_*
#: in the environment, and that sends something, asks somebody, writes, or changes joules: a factor for the building
#: (`pue` multiplies them), powers of its own, where to post.
_SETTINGS: dict[str, Any] = {
    **{"output_methods": [], "output_handlers": [], "output_dir": ".", "emissions_endpoint": None},
    **{"api_call_interval": -1, "electricitymaps_api_token": "", "logger_preamble": ""},
    **{"pue": 1.0, "wue": 0.0, "force_cpu_power": None, "force_ram_power": None, "force_mode_cpu_load": False},
    **{"rapl_include_dram": False, "rapl_prefer_psys": False, "tracking_mode": "machine", "measure_power_secs": 15.0},
    **{"allow_multiple_runs": True, "log_level": "critical", "gpu_ids": None},
    # A place is asked for and plays no part: only joules are taken, intensity comes from the budget.
    **{"country_iso_code": "FRA", "country_2letter_iso_code": None, "region": None, "cloud_provider": None},
    **{"cloud_region": None, "force_carbon_intensity_g_co2e_kwh": 0.0},
}


def make() -> Codecarbon:
    """Return the meter of this machine."""
    return Codecarbon()


class Codecarbon:
    """One task of the tracker follows the other; the processor's energy of each is added up."""

    every = 0.5
    strict = False

    def __init__(self) -> None:
        self._tracker: Any = None
        self._microjoules = 0.0

    def discover(self) -> Found:
        """Return the one domain, where codecarbon is installed and starts."""
        try:
            from codecarbon import OfflineEmissionsTracker

            _without_probe()
        except ImportError:
            reason, help_ = "codecarbon is not installed", "pip install 'greengate-ci[carbon]'"
            return Found(absent=(Absent("codecarbon", reason, help_),))
        # It warns before it reads its own log level, and resets the one that was set.
        logging.getLogger("codecarbon").disabled = True
        try:
            self._tracker = OfflineEmissionsTracker(**_SETTINGS)
            self._tracker.start_task("0")
        except Exception as error:  # noqa: BLE001 - foreign code
            return Found(absent=(Absent("codecarbon", f"codecarbon does not start: {error}"),))
        about = "codecarbon's model: watts of the processor by load of the whole machine; memory left out"
        return Found((Domain("codecarbon:cpu", "cpu", "estimated", about, 1e-6, tick=self.every),))

    def read(self, domain: Domain) -> Sequence[Tick]:
        """End a task and begin the next; return the microjoules of all so far. Raises MeterError."""
        try:
            done = self._tracker.stop_task()
            now = time.monotonic_ns()
            # It keeps every task that ended: of a long training hundreds of thousands, 4 kB each.
            getattr(self._tracker, "_tasks", {}).clear()
            self._tracker.start_task()
            self._microjoules += float(done.cpu_energy) * _MICROJOULES_A_KWH
        except Exception as error:
            raise MeterError(f"{domain.id} cannot be read any more: {error}") from error
        return (Tick(now, round(self._microjoules)),)

    def health(self, domain: Domain) -> Health:
        """Return nothing known."""
        del domain
        return Health()

    def close(self) -> None:
        """Stop the tracker and its threads."""
        if self._tracker is not None:
            tracker, self._tracker = self._tracker, None
            try:
                tracker.stop_task()
                tracker.stop()
            except Exception:  # noqa: BLE001 - foreign code; the numbers are taken already
                return


def _without_probe() -> None:
    """Import urllib3, which codecarbon's tables want, without the socket that it opens to learn whether IPv6 works.

    What else uses urllib3 in this process is then told what Python was built with; it tries one address after another.
    """
    if "urllib3" in sys.modules:
        return
    built = socket.has_ipv6
    socket.has_ipv6 = False
    try:
        from urllib3.util import connection
    finally:
        socket.has_ipv6 = built
    connection.HAS_IPV6 = built
