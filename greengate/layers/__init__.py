"""Layers of a model: named by module, matched between two models, and summed for a reader."""

from greengate.layers.attribution import attribute, attribution
from greengate.layers.outline import Branch, Sums, outline

__all__ = ["Branch", "Sums", "attribute", "attribution", "outline"]
