"""Tests of the profiler import onnxruntime into the test process too, which must not phone home either."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
