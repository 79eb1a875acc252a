"""Scans."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jaxtyping import Array, PyTree

_Carry = TypeVar("_Carry")


def reverse_scan(
    step: Callable[[_Carry, PyTree[Array]], tuple[_Carry, PyTree[Array]]], last: _Carry, sequences: PyTree[Array]
) -> PyTree[Array]:
    """Runs a recurrence from the end of a trajectory to its start.

    Args:
        step: Maps what the later step gave and this step's slices to what this step gives, twice: carried and kept.
        last: What the step after the last one would have given.
        sequences: Arrays with a leading time axis.

    Returns:
        What was kept, in the order of time.
    """
    _, kept = jax.lax.scan(step, last, sequences, reverse=True)
    return kept
