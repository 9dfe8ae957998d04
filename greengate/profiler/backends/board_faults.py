"""What it means that something fails on a board, by what CUDA, its libraries, PyTorch and onnxruntime say of it."""

from __future__ import annotations

import re

from greengate.profiler.jobs import Refused, WorkerFailed

SMALLER = (
    "lower `workload: {batch_size: ...}` or `precision`, use a board with more memory, "
    "or raise `worker: {gpu_memory: ...}` where that is set"
)
_AGAIN = "run it again; if it stays, look at the board with `nvidia-smi`, and at kernels that the model brings itself"
_INDEX = (
    "keep what is fed within the model's tables: `inputs: {name: {max: ...}}`, recorded data too; "
    "with `device: cpu` the error names the operator"
)
#: Begins what onnxruntime says; the node and its name stand before what happened to it.
_OWN = "[ONNXRuntimeError]"
#: What CUDA, its libraries and onnxruntime say when a board is full.
_NO_ROOM = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA failure 2: out of memory",
    "cudaErrorMemoryAllocation",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",  # its workspace does not fit any more
)
#: What CUDA and its libraries say when something on a board failed, through PyTorch or onnxruntime.
_BROKEN = re.compile(
    r"CUDA (\w+ )?error|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_[A-Z]|Triton Error \[CUDA\]"
    r"|\b(CUDA|CUBLAS|CUBLASLT|CUDNN|CUDNN_FE|CUFFT|CURAND) failure -?\d"
)
#: What they say when a kernel itself found wrong what it was given.
_ASSERTED = "device-side assert triggered"


def out_of_memory(error: BaseException) -> bool:
    """Tell whether a board, not the machine, ran out of memory."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or any(words in str(error) for words in _NO_ROOM)


def broken(path: str, error: BaseException) -> Refused | WorkerFailed | None:
    """Return what it means that something on a board failed, and None where nothing of it is said in the error."""
    if not (said := _said(error)):
        return None
    if _ASSERTED in said:
        message = f"{path}: the model fails on its inputs on the GPU, most often for an index beyond a table"
        return Refused("input-mismatch", f"{message}: {said}", _INDEX)
    return WorkerFailed(f"the GPU failed: {said}", _AGAIN)


def _said(error: BaseException) -> str:
    """Return the line in which CUDA or one of its libraries says that it failed; empty where none does."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    named = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    telling = (line[found.start() if _OWN in line else 0 :] for line in lines if (found := _BROKEN.search(line)))
    # onnxruntime goes on with the machine's name and its own source.
    return next(telling, (lines or ["AcceleratorError"])[0] if named else "").partition(" ; GPU=")[0][:300]
