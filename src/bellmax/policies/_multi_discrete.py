"""Several discrete choices in one action."""

import itertools
import operator
from collections.abc import Sequence
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from .._core import checked
from ._categorical import CategoricalDistribution
from ._joint import add_up
from ._masks import forbid
from ._pytree import PytreeDistribution


class MultiDiscreteDistribution(PytreeDistribution):
    """The distribution that `multi_discrete` returns: independent choices, whose log-probabilities add up."""

    leaves = ("choices",)
    choices: tuple[CategoricalDistribution, ...]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one action: the number of choices."""
        return (len(self.choices),)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        return self.choices[0].batch_shape

    @property
    def dtype(self):
        """Type of a sampled action."""
        return jnp.int32

    def _sample_n(self, key, n):
        keys = jax.random.split(key, len(self.choices))
        drawn = [choice.sample(seed=keys[i], sample_shape=n) for i, choice in enumerate(self.choices)]
        return jnp.stack(drawn, axis=-1)

    def log_prob(self, value):
        """Returns the log-probability of actions of shape `*sample *batch choices`, summed over choices."""
        value = self._checked_actions(value)
        return add_up(choice.log_prob(value[..., i]) for i, choice in enumerate(self.choices))

    def entropy(self):
        """Returns the entropy in nats, summed over choices."""
        return add_up(choice.entropy() for choice in self.choices)

    def mode(self):
        """Returns the likeliest action, the first of equals in each choice."""
        return jnp.stack([choice.mode() for choice in self.choices], axis=-1)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, summed over choices."""
        if not isinstance(other_dist, MultiDiscreteDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        pairs = zip(self.choices, other_dist.choices, strict=True)
        return add_up(choice.kl_divergence(other, **kwargs) for choice, other in pairs)


@checked
def multi_discrete(
    logits: Float[Array, "*batch logits"],
    nvec: Sequence[SupportsIndex] | np.ndarray,
    *,
    mask: Bool[Array, "*batch logits"]
    | Integer[Array, "*batch logits"]
    | Bool[Array, " logits"]
    | Integer[Array, " logits"]
    | None = None,
) -> MultiDiscreteDistribution:
    r"""Makes several choices at once, each from its own softmax.

    $$\pi(a) = \prod_i \frac{e^{z_{i a_i}}}{\sum_b e^{z_{ib}}}$$

    Args:
        logits: $z$, unnormalised log-probabilities in nats: those of the first choice, then those of the second, …
        nvec: How many options each choice has: whole numbers, such as `space.nvec` of a
            `gymnasium.spaces.MultiDiscrete` with one axis.
        mask: True, or 1, where an option is legal, of the shape of the logits or one for all; an illegal option has
            probability zero.

    Returns:
        A `distrax.Distribution` over int32 actions of shape `*batch choices`, counting from 0. Log-probabilities,
        entropies and divergences are sums over choices.

    Raises:
        ValueError: If nvec is not made of whole numbers, there is not one logit an option, or the mask is known and
            leaves a choice without one.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = multi_discrete(jnp.array([0.0, 1.0, 3.0, 2.0, 1.0]), (2, 3))
        >>> pi.mode().tolist()
        [1, 0]

    References:
        Tang and Agrawal, *Discretizing Continuous Action Space for On-Policy Optimization*, 2019, arXiv:1901.10500,
        whose policies are such products.
    """
    nvec = _whole_numbers(nvec)
    if not nvec or min(nvec) < 1 or sum(nvec) != logits.shape[-1]:
        raise ValueError(
            f"multi_discrete: there must be sum(nvec) logits and at least one a choice; got {logits.shape[-1]}, {nvec}"
        )
    ends = list(itertools.accumulate(nvec))[:-1]
    parts = jnp.split(logits, ends, axis=-1)
    masks = [None] * len(nvec) if mask is None else jnp.split(mask, ends, axis=-1)
    choices = tuple(
        CategoricalDistribution.tree_unflatten(None, (forbid(part, legal, "multi_discrete"),))
        for part, legal in zip(parts, masks, strict=True)
    )
    return MultiDiscreteDistribution.tree_unflatten(None, (choices,))


def _whole_numbers(nvec) -> tuple[int, ...]:
    try:
        return tuple(operator.index(n) for n in nvec)
    except TypeError:
        raise ValueError(f"multi_discrete: nvec must be a sequence of whole numbers; got {nvec}") from None
