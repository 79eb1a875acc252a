"""One gradient step, on one device or on many."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._checked import RealScalarLike
from ._reduce import pmean

_Model = TypeVar("_Model")


def value_and_grad(
    loss: Callable[..., tuple[Float[Array, ""], PyTree[Array]]], axis_name: str | None = None
) -> Callable[..., tuple[tuple[Float[Array, ""], PyTree[Array]], Any]]:
    """Differentiates a loss with auxiliary output by its first argument, and averages the gradient across devices.

    Args:
        loss: Maps a model and data to a scalar and a tree of arrays to report; both stay this device's own.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        A function to `((loss, auxiliary), gradient)`; the gradient has the model's structure, None at what is not a
        floating-point array. Of a loss that is NaN it is not finite either, as `gradient_step` wants to know.
    """
    local = eqx.filter_value_and_grad(loss, has_aux=True)

    def averaged(model, *args):
        value, gradient = local(model, *args)
        return value, _flat_pmean(_nan_with(value[0], gradient), axis_name)

    return averaged


def value_and_grad_in_blocks(loss, axis_name: str | None = None):
    """As `value_and_grad`, for a loss of a model and one tree of examples that is a mean over the examples.

    On a CPU the gradient is taken a few hundred examples at a time and averaged: activations stay in the cache, and
    matrix products too small to share among threads are not shared. Elsewhere the batch stays whole.

    Args:
        loss: Maps a model and examples with a leading axis to the mean loss and a tree of means.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        A function of a model and examples to `((loss, auxiliary), gradient)`.
    """
    local = value_and_grad(loss)

    def averaged(model, examples):
        blocks = _blocks(jax.tree.leaves(examples)[0].shape[0])
        if blocks == 1:
            result = local(model, examples)
        else:
            cut = jax.tree.map(lambda leaf: leaf.reshape(blocks, -1, *leaf.shape[1:]), examples)
            shapes = eqx.filter_eval_shape(local, model, jax.tree.map(lambda leaf: leaf[0], cut))
            zero = jax.tree.map(jnp.zeros_like, shapes)
            total, _ = jax.lax.scan(
                lambda sum, block: (jax.tree.map(jnp.add, sum, local(model, block)), None), zero, cut
            )
            result = jax.tree.map(lambda leaf: leaf / blocks, total)
        value, gradient = result
        return value, _flat_pmean(gradient, axis_name)

    return averaged


def _blocks(examples: int, smallest: int = 256) -> int:
    """Returns into how many equal blocks of at least `smallest` examples a batch should be cut."""
    if jax.default_backend() != "cpu":
        return 1
    return max((n for n in range(1, examples // smallest + 1) if examples % n == 0), default=1)


def _nan_with(loss: Float[Array, ""], gradient: PyTree[Array]) -> PyTree[Array]:
    """Makes one leaf NaN where the loss is: the slope of an absolute value, or beyond a clip, is finite even there."""
    leaves, structure = jax.tree.flatten(gradient)
    leaves[:1] = [jnp.where(jnp.isnan(loss), jnp.nan, leaf) for leaf in leaves[:1]]
    return structure.unflatten(leaves)


def _flat_pmean(tree: PyTree[Array], axis_name: str | None) -> PyTree[Array]:
    """Averages across devices as one vector, since each leaf of a `pmean` costs."""
    if axis_name is None:
        return tree
    flat, unravel = ravel_pytree(tree)
    return unravel(pmean(flat, axis_name))


def gradient_step(
    model: _Model, gradient: PyTree, optimiser: optax.GradientTransformation, optimiser_state: optax.OptState, rate
) -> tuple[_Model, optax.OptState, dict[str, Float[Array, ""]]]:
    """Moves a model against its gradient.

    A gradient that is not finite is skipped and counted: one NaN reward must not end a run, nor poison the optimiser's
    moments for good.

    Args:
        model: What is trained; leaves that are not floating-point arrays stay as they are.
        gradient: As `value_and_grad` returns it.
        optimiser: Gives the direction of descent, without the learning rate. It sees one flat vector: transformations
            that tell parameters apart do not belong here.
        optimiser_state: Its state, from `init_optimiser`.
        rate: Learning rate, a number or a traced scalar.

    Returns:
        The model, the optimiser's state, and the metrics `gradient_norm` (before clipping; NaN where it was not
        finite) and `skipped` (0 or 1).
    """
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    flat_parameters, unravel = ravel_pytree(parameters)
    flat_gradient, _ = ravel_pytree(gradient)
    norm = jnp.linalg.norm(flat_gradient)
    finite = jnp.isfinite(norm)
    direction, next_state = optimiser.update(jnp.where(finite, flat_gradient, 0), optimiser_state, flat_parameters)
    direction = jnp.where(finite, jnp.asarray(direction), 0)
    next_state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), next_state, optimiser_state)
    moved = unravel(flat_parameters - jnp.asarray(rate, flat_parameters.dtype) * direction)
    metrics = {"gradient_norm": jnp.where(finite, norm, jnp.nan), "skipped": 1 - finite.astype(norm.dtype)}
    return eqx.combine(moved, rest), next_state, metrics


def clipped_adam(max_gradient_norm: RealScalarLike, epsilon: RealScalarLike) -> optax.GradientTransformation:
    """Returns Adam's direction, without a learning rate, of gradients shortened to a norm; both knobs may be traced."""
    return optax.chain(optax.clip_by_global_norm(max_gradient_norm), optax.scale_by_adam(eps=epsilon))


def init_optimiser(model, optimiser: optax.GradientTransformation) -> optax.OptState:
    """Starts an optimiser for `gradient_step`."""
    flat, _ = ravel_pytree(eqx.filter(model, eqx.is_inexact_array))
    return optimiser.init(flat)
