"""Several distributions at once, over a tree of actions."""

import functools

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._core import checked
from ._pytree import PytreeDistribution


def _is_distribution(node) -> bool:
    return isinstance(node, distrax.Distribution)


class JointDistribution(PytreeDistribution, distrax.Joint):
    """The distribution that `joint` returns: independent parts, whose log-probabilities add up."""

    leaves = ("_distributions",)  # what distrax calls it
    _distributions: PyTree[PytreeDistribution]

    @property
    def _distributions_leaves(self):
        return jax.tree.leaves(self._distributions, is_leaf=_is_distribution)

    @property
    def _distributions_treedef(self):
        return jax.tree.structure(self._distributions, is_leaf=_is_distribution)

    def _sample_n(self, key, n):
        parts = self._distributions_leaves
        keys = jax.random.split(key, len(parts))
        drawn = [part.sample(seed=keys[i], sample_shape=n) for i, part in enumerate(parts)]
        return self._distributions_treedef.unflatten(drawn)

    def log_prob(self, value):
        """Returns the log-probability of a tree of actions, summed over its leaves."""
        try:
            actions = self._distributions_treedef.flatten_up_to(value)
        except ValueError:
            expected, got = self._distributions_treedef, jax.tree.structure(value)
            raise TypeError(f"{self.name}: actions must have the structure {expected}; got {got}") from None
        return add_up(part.log_prob(action) for part, action in zip(self._distributions_leaves, actions, strict=True))

    def entropy(self):
        """Returns the entropy in nats, summed over leaves."""
        return add_up(part.entropy() for part in self._distributions_leaves)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, summed over leaves."""
        if not isinstance(other_dist, distrax.Joint):
            return super().kl_divergence(other_dist, **kwargs)
        expected = self._distributions_treedef
        got = jax.tree.structure(other_dist.distributions, is_leaf=_is_distribution)
        if expected != got:
            raise TypeError(f"{self.name}: the other distribution must have the structure {expected}; got {got}")
        others = jax.tree.leaves(other_dist.distributions, is_leaf=_is_distribution)
        pairs = zip(self._distributions_leaves, others, strict=True)
        return add_up(part.kl_divergence(other, **kwargs) for part, other in pairs)


def add_up(terms) -> Array:
    """Adds arrays, in the widest of their types."""
    terms = [*terms]
    dtype = max((term.dtype for term in terms), key=lambda dtype: dtype.itemsize)
    return functools.reduce(jnp.add, [term.astype(dtype) for term in terms])


@checked
def joint(distributions: PyTree[PytreeDistribution]) -> JointDistribution:
    r"""Chooses the leaves of an action independently of each other, each from its own distribution.

    $$\pi(a) = \prod_i \pi_i(a_i)$$

    Args:
        distributions: A tuple, list, dict, or any tree of distributions made by this folder's functions, all with the
            same batch axes.

    Returns:
        A `distrax.Joint` whose actions are trees of the same structure. Log-probabilities, entropies and divergences
        are sums over the leaves.

    Raises:
        ValueError: If there is no distribution, or their batch axes differ.
        jaxtyping.TypeCheckError: If a leaf is not a distribution of this folder.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.policies import categorical, gaussian
        >>> pi = joint({"gear": categorical(jnp.zeros(5)), "wheel": gaussian(jnp.zeros(1), jnp.zeros(1))})
        >>> sorted(pi.mode())
        ['gear', 'wheel']

    References:
        Tang and Agrawal, *Discretizing Continuous Action Space for On-Policy Optimization*, 2019, arXiv:1901.10500,
        whose policies are such products.
    """
    parts = jax.tree.leaves(distributions, is_leaf=_is_distribution)
    shapes = {part.batch_shape for part in parts}
    if not parts:
        raise ValueError("joint: there must be at least one distribution; got an empty tree")
    if len(shapes) > 1:
        raise ValueError(f"joint: all distributions must have the same batch axes; got {sorted(shapes)}")
    return JointDistribution.tree_unflatten(None, (distributions,))
