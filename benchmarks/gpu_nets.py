"""ResNet-50 and BERT-base in plain PyTorch, with a block of extra real work of a given width; small ones to try it all.

Copied beside the measurements by gpu.py, which sets EXTRA: columns of a product that follows the input.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

EXTRA = 0


def light(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a network whose weights are a few drawn values over and over: drawing all takes longer than a launch."""
    with torch.device("meta"):
        net = make()
    net.to_empty(device="cpu")
    for name, value in net.state_dict().items():
        if value.ndim > 1:
            few = torch.randn(4096) / value[0].numel() ** 0.5
            value.view(-1).copy_(few.repeat(-(-value.numel() // 4096))[: value.numel()])
        else:  # norms that change nothing, and no bias
            value.fill_(name.endswith(("weight", "running_var")))
    return net


class Heavier(nn.Module):
    """A network, and beside it a product of `rows` x `rows` times `rows` x EXTRA that depends on the input."""

    def __init__(self, net: nn.Module, rows: int) -> None:
        super().__init__()
        self.net = net
        self.left = nn.Parameter(torch.randn(rows, rows) if EXTRA else torch.zeros(0, 0))
        # A few columns over and over: to draw hundreds of thousands takes longer than a launch measures.
        self.right = nn.Parameter(torch.randn(rows, 16).repeat(1, EXTRA // 16) if EXTRA else torch.zeros(0, 0))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # noqa: D102
        out = self.net(x)
        if not self.right.numel():
            return (out,)
        return out, (self.left * (x.flatten()[0] != 0)) @ self.right


# --- residual networks ----------------------------------------------------------------------------------------------


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 with the stride, 1 x 1 to four times the width, and the way around."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        wide = 4 * width
        self.body = nn.Sequential(
            *(nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide)),
        )
        around = [nn.Conv2d(inside, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)]
        self.around = nn.Sequential(*(around if stride > 1 or inside != wide else []))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.relu(self.body(x) + self.around(x))


def residual(depths: tuple[int, ...], width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inside = width
    for stage, depth in enumerate(depths):
        for block in range(depth):
            now = width * 2**stage
            layers.append(Bottleneck(inside, now, 2 if stage and not block else 1))
            inside = 4 * now
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000))


# --- encoders -------------------------------------------------------------------------------------------------------


class Layer(nn.Module):
    """Attention and feed-forward, each with its norm after it, as BERT has them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width, 1e-12) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        q, k, v = (self._split(one(x)) for one in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.norms[0](x + self.out(mixed))
        return self.norms[1](x + self.down(F.gelu(self.up(x))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Encoder(nn.Module):
    """Embeddings of words, positions and segments, layers, and a pooler on the first token."""

    def __init__(self, depth: int, width: int, heads: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(30522, width), nn.Embedding(512, width)
        self.segments, self.norm = nn.Embedding(2, width), nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList([Layer(width, heads) for _ in range(depth)])
        self.pooler = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        places = torch.arange(x.shape[1], device=x.device)
        hidden = self.norm(self.words(x) + self.places(places) + self.segments(torch.zeros_like(x)))
        for layer in self.layers:
            hidden = layer(hidden)
        return torch.tanh(self.pooler(hidden[:, 0]))


def resnet50() -> nn.Module:
    return Heavier(light(lambda: residual((3, 4, 6, 3), 64)), 1024)


def bert() -> nn.Module:
    return Heavier(light(lambda: Encoder(12, 768, 12)), 1024)


def bert_384() -> nn.Module:
    """The same network, given so much that the board is busy: with 128 tokens it waits for the host's next order."""
    return bert()


def small_resnet50() -> nn.Module:
    return Heavier(light(lambda: residual((1, 1, 1, 1), 32)), 128)


def small_bert() -> nn.Module:
    return Heavier(light(lambda: Encoder(3, 256, 4)), 128)
