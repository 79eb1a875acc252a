"""How the distributions become pytrees."""

import functools
import math
from typing import Any, ClassVar

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array


def _between_equal_shapes(divergence):
    """Makes a divergence refuse a distribution of another shape, which would broadcast."""

    @functools.wraps(divergence)
    def kl_divergence(self, other_dist, **kwargs):
        shape, other = _shape(self), _shape(other_dist)
        if shape != other:
            raise TypeError(
                f"{self.name}: a divergence is between distributions of the same shape; got batch and event {shape} "
                f"and {other}"
            )
        return divergence(self, other_dist, **kwargs)

    return kl_divergence


def _shape(distribution) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the batch and event axes, with the number of actions that there are to choose from."""
    batch = tuple(distribution.batch_shape)
    if isinstance(distribution, distrax.Joint):  # its parts are compared one by one
        return batch, ()
    if isinstance(distribution, distrax.Categorical):
        return batch, (distribution.num_categories,)
    return batch, tuple(distribution.event_shape)


class PytreeDistribution(distrax.Distribution):
    """A distrax distribution whose leaves are named and nothing else is kept.

    Distrax decides by a leaf's value whether it is data, so its distributions change structure when a transform puts
    something else in a leaf's place. Here the leaves are the attributes that the class names, whatever they hold.
    """

    leaves: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "kl_divergence" in cls.__dict__:
            cls.kl_divergence = _between_equal_shapes(cls.__dict__["kl_divergence"])
        if "leaves" in cls.__dict__:
            jax.tree_util.register_pytree_with_keys(cls, cls.flatten_with_keys, cls.tree_unflatten, cls.tree_flatten)

    def tree_flatten(self) -> tuple[Any, Any]:
        """Lists the leaves; there is nothing static."""
        return tuple(getattr(self, name) for name in self.leaves), None

    def flatten_with_keys(self) -> tuple[Any, Any]:
        """Lists the leaves with their names."""
        return tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in self.leaves), None

    @classmethod
    def tree_unflatten(cls, aux_data, children):
        """Puts the leaves back, without looking at them."""
        del aux_data
        distribution = object.__new__(cls)
        for name, child in zip(cls.leaves, children, strict=True):
            setattr(distribution, name, child)
        return distribution

    def __getitem__(self, index):
        """Indexes the batch axes, and only those; the class stays.

        An index that is known to be outside raises IndexError; one that is not known counts as the nearest inside.
        """
        batch = self.batch_shape
        size = math.prod(batch)
        if any(isinstance(part, Tracer) for part in jax.tree.leaves(index)):
            places = jnp.arange(size).reshape(batch).at[index].get(mode="clip")
        else:
            places = np.arange(size).reshape(batch)[jax.tree.map(_known, index)]
        return jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[len(batch) :])[places], self)

    @_between_equal_shapes
    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, between the same batch and event axes."""
        return super().kl_divergence(other_dist, **kwargs)

    def _sample_n_and_log_prob(self, key, n):
        # Without the barrier `jit` may score a sample as it was before it was rounded to its type.
        samples = jax.lax.optimization_barrier(self._sample_n(key, n))
        return samples, self.log_prob(samples)

    def _checked_actions(self, value) -> Array:
        """Returns actions as an array, once their shape is seen to be `*sample *batch *event`."""
        value, shape = jnp.asarray(value), (*self.batch_shape, *self.event_shape)
        if value.shape[max(value.ndim - len(shape), 0) :] != shape:
            raise TypeError(
                f"{self.name}: actions must have shape (*sample, *batch, *event) ending in {shape}; got {value.shape}"
            )
        return value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self.leaves)})"


def _known(index):
    return np.asarray(index) if isinstance(index, jax.Array) else index
