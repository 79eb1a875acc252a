"""A policy as a program of its own, which needs nothing of Bellmax."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, PyTree

from .._core import Spaces, example
from ._configuration import UsageError
from ._files import write_whole
from ._policy import Policy

PLATFORMS = ("cpu", "cuda", "tpu")
"""On which an exported policy runs."""
SUFFIXES = (".jax", ".mlir")
_CHECKED = 8
"""Observations on which what is written is compared with the policy."""


def export_policy(policy: Policy, spaces: Spaces, out: str | Path, *, explore: bool = False) -> None:
    """Writes a policy to a file, as a function of a batch of any size.

    The function takes the observations, then the memory if the policy has one, then seeds (`uint32`) if it explores. It
    returns the actions, or `(actions, memory)`. All have a leading axis `batch`; where an episode begins the memory is
    zeros. What is written is read back and compared with the policy first.

    Args:
        policy: One seed's policy.
        spaces: Of the environment.
        out: `.jax` is read by `jax.export.deserialize(bytes).call`, which needs JAX alone; `.mlir` is the same
            program as StableHLO text.
        explore: Whether to sample as in training; else the policy's mode is taken.

    Raises:
        UsageError: If the file's kind is not known, or the policy cannot be written so.
    """
    path = Path(out)
    check_suffix(path)
    function, arguments = batched(policy, spaces, explore=explore)
    (size,) = export.symbolic_shape("batch")
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype), arguments)
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(*shapes)
    content = exported.serialize()
    _compare(export.deserialize(content).call, function, _rows(spaces, arguments))
    program = exported.mlir_module().encode() if path.suffix == ".mlir" else content
    write_whole(path, lambda file: file.write_bytes(program))


def batched(
    policy: Policy, spaces: Spaces, *, explore: bool = False
) -> tuple[Callable[..., Any], tuple[PyTree[Array], ...]]:
    """Returns the function that is exported, and an example of one row of each of its arguments."""
    remembers = policy.initial_memory is not None
    if any(np.any(leaf) for leaf in jax.tree.leaves(policy.initial_memory)):
        raise UsageError("only a policy whose memory begins with zeros can be exported")

    def act(*arguments):
        observation, *others = arguments
        memory = others.pop(0) if remembers else None
        key = jax.random.key(others.pop(0)) if explore else None
        action, memory = policy(observation, memory, key=key, explore=explore)
        return (action, memory) if remembers else action

    first = example(spaces.observation)
    seed = (jnp.uint32(0),) if explore else ()
    memory = (policy.initial_memory,) if remembers else ()
    return jax.vmap(act), (first, *memory, *seed)


def check_suffix(out: Path) -> None:
    """Refuses a kind of file that there is not."""
    if out.suffix not in SUFFIXES:
        raise UsageError(f"--out must end in {' or '.join(SUFFIXES)}; got {out}")


def _rows(spaces: Spaces, arguments: tuple[PyTree[Array], ...]) -> tuple[PyTree[Array], ...]:
    """Returns some rows of each argument: observations of the space, the memory of a beginning, seeds."""
    space = copy.deepcopy(spaces.observation)
    space.seed(0)
    observations = [space.sample() for _ in range(_CHECKED)]
    others = jax.tree.map(lambda leaf: jnp.stack([leaf] * _CHECKED), arguments[1:])
    like = arguments[0]
    return jax.tree.map(lambda leaf, *rows: np.stack(rows).astype(leaf.dtype), like, *observations), *others


def _compare(call: Callable[..., Any], function: Callable[..., Any], rows: tuple[Any, ...]) -> None:
    """Refuses a program that does not give what the policy gives."""
    leaves = zip(jax.tree.leaves(call(*rows)), jax.tree.leaves(function(*rows)), strict=True)
    for got, wanted in leaves:
        if not np.allclose(got, wanted, rtol=1e-4, atol=1e-5, equal_nan=True):
            error = np.max(np.abs(np.asarray(got, float) - np.asarray(wanted, float)))
            raise UsageError(f"what was exported differs from the policy, by up to {error:g}; nothing is written")
