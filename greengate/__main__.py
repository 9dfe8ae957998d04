"""`python -m greengate`."""

from __future__ import annotations

import sys


def main() -> None:
    """Enter from the console script."""
    if sys.argv[1:2] == ["check"] and not {"--profile", "--help", "-h"} & set(sys.argv):
        # A worker takes as long to boot as we do: let it begin now, side by side.
        from greengate.profiler import spawn

        spawn.spare(["greengate.profiler.backends.onnx_session", "greengate.profiler.onnx_model", "onnxruntime"])
    from greengate.cli.door import run

    sys.exit(run())


if __name__ == "__main__":
    main()
