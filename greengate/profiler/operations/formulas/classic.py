"""Classic machine learning: linear models, support vectors, trees (domain ai.onnx.ml)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from greengate.profiler.operations.formulas.kinds import Attributes, told
from greengate.profiler.operations.trace import Executed, NotUnderstood


def _items(node: Executed) -> tuple[int, int]:
    """Return items and features of X [N, F], or [F] for one item."""
    shape = node.input(0)
    return (math.prod(shape[:-1]), shape[-1]) if shape else (1, 1)


def linear(node: Executed, attributes: Attributes) -> int:
    """MACs of LinearRegressor and LinearClassifier: X [N, F] by coefficients [targets x F]: N x len(coefficients)."""
    return _items(node)[0] * len(told(attributes).get("coefficients", ()))


def beside_linear(node: Executed, attributes: Attributes) -> int:
    """One addition for each intercept of each item, one operation per score for a transform of the scores."""
    kept = told(attributes)
    items, features = _items(node)
    scores = len(kept.get("coefficients", ())) // max(features, 1)
    transformed = kept.get("post_transform", "NONE") != "NONE"
    return items * (len(kept.get("intercepts", ())) + (scores if transformed else 0))


def _support(attributes: Mapping[str, Any]) -> int:
    """Return how many support vectors there are; 0 means that the model is linear."""
    vectors = attributes.get("vectors_per_class")
    return int(attributes.get("n_supports", 0)) if vectors is None else int(sum(vectors))


def support_regressor(node: Executed, attributes: Attributes) -> int:
    """MACs of SVMRegressor: N items meet S support vectors of F features, then one sum of S kernel values.

    N x S x (F + 1); without support vectors it is linear: N x F. The distance of an RBF kernel is a sum of F squared
    differences, each counted as one MAC.
    """
    items, features = _items(node)
    support = _support(told(attributes))
    return items * support * (features + 1) if support else items * features


def support_classifier(node: Executed, attributes: Attributes) -> int:
    """MACs of SVMClassifier: N items meet S support vectors of F features, then one against one.

    The decision between classes i and j sums the kernel values of their support vectors, so each of S takes part in
    C - 1 of them: N x S x (F + C - 1). Without support vectors it is linear: N x len(coefficients).
    """
    kept = told(attributes)
    items, features = _items(node)
    support = _support(kept)
    if not support:
        return items * len(kept.get("coefficients", ()))
    return items * support * (features + len(kept["vectors_per_class"]) - 1)


def beside_support(node: Executed, attributes: Attributes) -> int:
    """One operation for each kernel value that is not linear, one addition for each rho of each item."""
    kept = told(attributes)
    kernel = _support(kept) if kept.get("kernel_type", "LINEAR") != "LINEAR" else 0
    return _items(node)[0] * (kernel + len(kept.get("rho", ())))


def trees(node: Executed, attributes: Attributes) -> int:
    """Element-wise work of tree ensembles: comparisons on the longest path of every tree, and one addition a tree.

    How far an item falls depends on its values; the longest path bounds it. Trees multiply nothing: their MACs are 0.
    ONNX ai.onnx.ml TreeEnsembleClassifier and TreeEnsembleRegressor (nodes named by tree), TreeEnsemble (by index).
    """
    kept = told(attributes)
    depths = _indexed(kept) if "tree_roots" in kept else _named(kept)
    return _items(node)[0] * sum(depth + 1 for depth in depths)


def _named(kept: Mapping[str, Any]) -> list[int]:
    tree_ids, modes = kept["nodes_treeids"], kept["nodes_modes"]
    keys = list(zip(tree_ids, kept["nodes_nodeids"], strict=True))
    below = {
        key: () if mode == "LEAF" else ((key[0], true), (key[0], false))
        for key, mode, true, false in zip(
            keys, modes, kept["nodes_truenodeids"], kept["nodes_falsenodeids"], strict=True
        )
    }
    inner = {child for children in below.values() for child in children}
    return [_depth(key, below) for key in below if key not in inner]


def _indexed(kept: Mapping[str, Any]) -> list[int]:
    sides = [zip(kept[f"nodes_{side}nodeids"], kept[f"nodes_{side}leafs"], strict=True) for side in ("true", "false")]
    below = {
        index: tuple("leaf" if leaf else child for child, leaf in children)
        for index, children in enumerate(zip(*sides, strict=True))
    }
    return [_depth(root, below) for root in kept["tree_roots"]]


def _depth(root: Any, below: Mapping[Any, tuple[Any, ...]]) -> int:
    """Return the comparisons on the longest path from a root. Raises NotUnderstood for a circle."""
    depth, level = 0, {root}
    while level := {child for key in level for child in below.get(key, ())}:
        depth += 1
        if depth > len(below):
            raise NotUnderstood("a tree that runs in a circle")
    return depth
