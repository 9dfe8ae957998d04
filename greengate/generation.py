"""Text that a language model is asked to generate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Generation:
    """How many tokens a prompt has, and how many exactly are made after it, for each item of a batch."""

    prompt_tokens: int
    new_tokens: int
