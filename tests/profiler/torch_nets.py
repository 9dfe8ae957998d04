"""Small PyTorch networks with the arithmetic of their MACs, and every form in which a network can be stored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everyone calls it
from torch import Tensor, nn


@contextmanager
def quiet() -> Iterator[None]:
    """Tracing, scripting and exporting warn of their own deprecation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Block(nn.Module):
    """A residual block of two convolutions, then a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.max_pool2d(x + self.body(x), 2)
        return self.head(x.mean((2, 3)))


class Recurrent(nn.Module):
    """Two LSTM layers, both ways, with a classifier at the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(6, 5, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Attention(nn.Module):
    """Projections around fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(1, 7, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(1, 7, 16))


class Mixed(nn.Module):
    """A transposed convolution, an einsum, a product with a vector, a plain product."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
        self.weight = nn.Parameter(torch.rand(9, 5))
        self.vector = nn.Parameter(torch.rand(5))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bchw,wk->bchk", self.up(x), self.weight)
        return (y.flatten(0, 2) @ self.vector).reshape(6, 9) @ self.weight


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def separable() -> nn.Module:
    return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 12, 1))


@dataclass(frozen=True)
class Net:
    """How to make a network, the shape of its input, and its MACs for one call."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    macs: int

    @property
    def input(self) -> Tensor:
        return torch.rand(self.shape, generator=torch.Generator().manual_seed(0))

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return self.make().eval()


NETS = {
    # stem: 8x16x16 outputs x 27; body: 8x16x16 x (4 channels x 9), 2 groups; head: 8 x 10
    "cnn": Net(Block, (1, 3, 32, 32), 2048 * 27 + 2048 * 36 + 80),
    # 2x7 steps; first layer, each way: 4x5 x (6 + 5); second: 4x5 x (10 + 5); head: 2 x 10 x 3
    "lstm": Net(Recurrent, (2, 7, 6), 14 * 2 * (20 * 11 + 20 * 15) + 60),
    # each layer: qkv 7x16x48, scores and values 2 x 7x7x16, out 7x16x16, feed-forward 2 x 7x16x32
    "encoder": Net(encoder, (1, 7, 16), 2 * (7 * 768 + 2 * 784 + 7 * 256 + 2 * 7 * 512)),
    # qkv 7x16x48, 4 heads x 7x7 x (4 + 4), out 7x16x16
    "attention": Net(Attention, (1, 7, 16), 7 * 768 + 4 * 49 * 8 + 7 * 256),
    # depthwise: 8x10x10 x 9; pointwise: 12x10x10 x 8
    "separable": Net(separable, (1, 8, 10, 10), 800 * 9 + 1200 * 8),
    # transposed: 4x4x4 inputs x (3 x 9); einsum: 1x6x9x9 x 5; vector: 54 x 5; plain: 6 x 9 x 5
    "mixed": Net(Mixed, (1, 4, 4, 4), 64 * 27 + 6 * 81 * 5 + 54 * 5 + 54 * 5),
}


def traced(net: Net) -> Any:
    with quiet(), torch.no_grad():
        return torch.jit.trace(net.build(), net.input, check_trace=False)


def scripted(net: Net) -> Any:
    with quiet():
        return torch.jit.script(net.build())


def exported(net: Net) -> Any:
    with quiet():
        return torch.export.export(net.build(), (net.input,))


def onnx_file(module: nn.Module, args: tuple[Any, ...], path: Path, **options: Any) -> Path:
    """Export to ONNX, as stored by default: newest exporter, weights beside the graph where they are large."""
    with quiet(), torch.no_grad():
        torch.onnx.export(module, args, str(path), dynamo=True, verbose=False, **options)
    return path
