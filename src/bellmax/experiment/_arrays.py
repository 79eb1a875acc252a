"""Trees of arrays on disk, each array by its name in the tree."""

import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ._configuration import UsageError


def by_name(tree: Any) -> dict[str, Any]:
    """Returns the leaves by their place in the tree; raises `ValueError` where two places read the same."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two arrays of the tree have one name: a key of a dictionary holds a dot")
    return named


def is_shaped(leaf: Any) -> bool:
    """Tells whether a leaf is an array, or stands for one."""
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def structure_of(tree: Any) -> dict[str, str]:
    """Returns the shape and the type of each array, by its name."""
    return {name: f"{leaf.shape} {leaf.dtype}" for name, leaf in by_name(tree).items()}


def save_arrays(path: Path, tree: Any) -> Any:
    """Saves a tree, in place of what is there; arrays without elements, which orbax refuses, are left out.

    Several processes call this together.

    Args:
        path: The folder to make.
        tree: A tree of arrays. They are copied before this returns, so they may be donated.

    Returns:
        What to call `result()` of: it waits until all is written, and raises if it was not.
    """
    from orbax.checkpoint import v1 as ocp

    return ocp.save_async(str(path), {name: leaf for name, leaf in by_name(tree).items() if leaf.size}, overwrite=True)


def load_arrays(path: Path, expected: Any, *, there: dict[str, str] | None = None, part: bool = False) -> Any:
    """Loads arrays into the expected structure, compared first: orbax tries to load what does not fit.

    Several processes call this together. What is read is JSON and numbers; nothing is ever unpickled.

    Args:
        path: The folder that `save_arrays` made.
        expected: A tree of arrays or `jax.ShapeDtypeStruct`s. Those with a sharding get it, whatever it was when they
            were saved; the others go to one device.
        there: The structure that was saved; None to take orbax's word.
        part: Whether there may be more than what is expected.

    Returns:
        The arrays, in the expected structure.

    Raises:
        UsageError: If the folder cannot be read, or does not fit.
    """
    wanted = by_name(expected)
    try:
        from orbax.checkpoint import v1 as ocp

        if there is None:
            there = structure_of(ocp.metadata(str(path)).metadata)
            there |= {name: here for name, here in structure_of(expected).items() if not math.prod(wanted[name].shape)}
        _check_fits(path, structure_of(expected), there, part=part)
        context = ocp.Context()
        context.pytree.loading.partial_load = part
        with context:
            targets = {name: _target(leaf) for name, leaf in wanted.items()}
            loaded = ocp.load(str(path), {name: leaf for name, leaf in targets.items() if math.prod(leaf.shape)})
        for name, leaf in targets.items():
            if name not in loaded:
                loaded[name] = jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)
        _check_fits(path, structure_of(expected), structure_of(loaded), part=False)
    except UsageError:
        raise
    except Exception as error:  # orbax raises many kinds, bare Exception among them
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(f"{path} cannot be loaded: {reason}") from error
    return jax.tree.unflatten(jax.tree.structure(expected), [loaded[name] for name in wanted])


def _check_fits(path: Path, wanted: dict[str, str], there: dict[str, str], *, part: bool) -> None:
    for name in sorted(wanted.keys() if part else wanted.keys() | there.keys()):
        found, expected = there.get(name, "nothing"), wanted.get(name, "nothing")
        if found != expected:
            raise UsageError(f"{path} does not fit the configuration: {name} is {found}, expected {expected}")


def _target(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
