"""Architectures whose MACs are published, built with random weights, each with its arithmetic written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from needs import package


def resnet50() -> int:
    """He et al. 2015, table 1, with the stride in the 3x3 convolution; 224 x 224."""
    total, entering = 112**2 * 64 * 3 * 49, 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        side = 56 >> stage
        before = side if stage == 0 else 2 * side  # the first block still reads the larger image
        total += before**2 * entering * width + side**2 * (9 * width**2 + 4 * width**2)
        total += side**2 * entering * 4 * width  # the projection beside it
        total += (blocks - 1) * side**2 * (4 * width**2 + 9 * width**2 + 4 * width**2)
        entering = 4 * width
    return total + 2048 * 1000


def mobilenetv2() -> int:
    """Sandler et al. 2018, table 2: expansion, channels, repeats, stride; 224 x 224."""
    side, entering = 112, 32
    total = side**2 * 32 * 27
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, channels, repeats, first_stride in table:
        for index in range(repeats):
            wide, stride = entering * expansion, first_stride if index == 0 else 1
            total += side**2 * entering * wide if expansion > 1 else 0
            side //= stride
            total += side**2 * (9 * wide + wide * channels)
            entering = channels
    return total + side**2 * 320 * 1280 + 1280 * 1000


def transformer(tokens: int, layers: int = 12, width: int = 768) -> int:
    """Vaswani et al. 2017, section 3: four projections, scores and values, a feed-forward part four times as wide."""
    return layers * (tokens * (4 * width**2 + 2 * width * 4 * width) + 2 * tokens**2 * width)


def vit_b_16() -> int:
    """Dosovitskiy et al. 2020: 196 patches of 16 x 16 x 3 and a class token, whose last state is classified."""
    return 196 * 768 * 768 + transformer(197) + 768 * 1000


def bert_base() -> int:
    """Devlin et al. 2018, 128 tokens: embeddings are looked up, the pooler reads one token."""
    return transformer(128) + 768**2


def gpt2_small() -> int:
    """Radford et al. 2019, 128 tokens, with the logits of all of them; causal scores are computed in full."""
    return transformer(128) + 128 * 768 * 50257


def _image() -> Any:
    import torch

    return torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def _tokens() -> Any:
    import torch

    return torch.randint(0, 30000, (1, 128), generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class Architecture:
    """The class and configuration in transformers, the input, the published figure (GMACs), and its arithmetic."""

    kind: str
    config: str
    options: dict[str, Any]
    input: Callable[[], Any]
    published: float
    macs: int

    def build(self) -> Any:
        """Return the network with random weights, in evaluation mode."""
        import torch

        library = package("transformers")
        torch.manual_seed(0)
        return getattr(library, self.kind)(getattr(library, self.config)(**self.options)).eval()


_LABELS = {"num_labels": 1000}

ARCHITECTURES = {
    "resnet50": Architecture("ResNetForImageClassification", "ResNetConfig", _LABELS, _image, 4.089, resnet50()),
    "mobilenetv2": Architecture(
        "MobileNetV2ForImageClassification", "MobileNetV2Config", _LABELS, _image, 0.3008, mobilenetv2()
    ),
    "vit-b-16": Architecture("ViTForImageClassification", "ViTConfig", _LABELS, _image, 17.564, vit_b_16()),
    "bert-base": Architecture("BertModel", "BertConfig", {}, _tokens, 11.174, bert_base()),
    "gpt2-small": Architecture("GPT2LMHeadModel", "GPT2Config", {"use_cache": False}, _tokens, 16.114, gpt2_small()),
}
