"""Scans."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
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


def model_scan(
    step: Callable[[_Carry, PyTree[Array]], tuple[_Carry, PyTree[Array]]], first: _Carry, sequences: PyTree[Array]
) -> tuple[_Carry, PyTree[Array]]:
    """Scans with whole models in the carry: their leaves that are not arrays stay where they are.

    Args:
        step: As for `jax.lax.scan`.
        first: The carry; may hold functions, strings and the like among its arrays.
        sequences: Arrays with a leading axis.

    Returns:
        As `jax.lax.scan` returns.
    """
    arrays, rest = eqx.partition(first, eqx.is_array)

    def of_arrays(carry, now):
        carry, kept = step(eqx.combine(carry, rest), now)
        return eqx.filter(carry, eqx.is_array), kept

    arrays, kept = jax.lax.scan(of_arrays, arrays, sequences)
    return eqx.combine(arrays, rest), kept
