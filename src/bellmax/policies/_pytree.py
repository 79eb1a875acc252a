"""How the distributions become pytrees."""

import math
from typing import Any, ClassVar

import distrax
import jax
import jax.numpy as jnp


class PytreeDistribution(distrax.Distribution):
    """A distrax distribution whose leaves are named and nothing else is kept.

    Distrax decides by a leaf's value whether it is data, so its distributions change structure when a transform puts
    something else in a leaf's place. Here the leaves are the attributes that the class names, whatever they hold.
    """

    leaves: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
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
        """Indexes the batch axes, and only those; the class stays."""
        batch = self.batch_shape
        places = jnp.arange(math.prod(batch)).reshape(batch)[index]
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(batch) :])[places], self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in self.leaves)})"
