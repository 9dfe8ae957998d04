"""Recurrent networks."""

from __future__ import annotations

import math

from greengate.profiler.operations.formulas.kinds import Attributes, Formula, told
from greengate.profiler.operations.trace import Executed, NotUnderstood


def recurrent(node: Executed, _: Attributes) -> int:
    """MACs of LSTM, GRU and RNN with X [T, N, I], W [D, G H, I] and R [D, G H, H], G gates, D directions.

    Each of T x N steps multiplies x by W and h by R: T x N x (numel(W) + numel(R)). Layout 1 swaps T and N only.
    The full length is counted also where `sequence_lens` ends some sequences early. com.microsoft
    DynamicQuantizeLSTM stores W and R transposed, which changes nothing here.
    """
    data = node.input(0)
    return data[0] * data[1] * (math.prod(node.input(1)) + math.prod(node.input(2)))


def beside_recurrent(gates: int, rest: int, peepholes: int | None = None, quantised: bool = False) -> Formula:
    """Element-wise work of a recurrent network, per step, direction and hidden unit.

    Each gate adds W x and R h, a bias where given (input 3), and applies a function: 2 or 3. `rest` joins the gates:
    5 for LSTM (f c + i g is 3, tanh(c), times o), 5 for GRU (r h, then (1 - z) n + z h is 4), 0 for RNN. Peepholes
    multiply and add 3 times. A `quantised` one scales both products of each gate, and quantises x and h, 3 each.
    """

    def formula(node: Executed, _: Attributes) -> int:
        data, recurrence = node.input(0), node.input(2)
        directions, hidden = recurrence[0], min(recurrence[1:])
        unit = gates * (2 + (node.given(3) is not None)) + rest
        unit += 6 if peepholes is not None and node.given(peepholes) is not None else 0
        unit += 2 * gates + 3 if quantised else 0
        quantising = 3 * math.prod(data) if quantised else 0
        return data[0] * data[1] * directions * hidden * unit + quantising

    return formula


def linear_attention(node: Executed, attributes: Attributes) -> int:
    """MACs of LinearAttention, run token by token with a state of d_k x d_v in each of H_kv heads.

    Every token adds k v^T to each state and multiplies q by the state of its head: B x T x d_k x d_v x (H_kv + H_q);
    the rules `delta` and `gated_delta` also multiply k by each state: 2 H_kv + H_q. ONNX operator LinearAttention;
    chunked implementations compute more. The decay of the state is element-wise.
    """
    kept = told(attributes)
    batch, tokens, width = node.input(0)
    heads, states = kept.get("q_num_heads", 0), kept.get("kv_num_heads", 0)
    if not heads or not states:
        raise NotUnderstood("heads that cannot be told")
    rule = kept.get("update_rule", "gated_delta")
    state = (width // heads) * (node.input(2)[2] // states)
    return int(batch * tokens * state * (states * (2 if "delta" in rule else 1) + heads))


def beside_linear_attention(node: Executed, attributes: Attributes) -> int:
    """Decay of each state where the rule is gated (1 per element), and the scale of each output."""
    kept = told(attributes)
    batch, tokens, width = node.input(0)
    heads, states = kept.get("q_num_heads", 1), kept.get("kv_num_heads", 1)
    state = (width // heads) * (node.input(2)[2] // states) * states
    gated = "gated" in kept.get("update_rule", "gated_delta")
    return int(batch * tokens * state * gated + math.prod(node.output(0)))
