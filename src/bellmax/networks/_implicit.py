"""Quantiles of action values at any fractions."""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from ..distributional import cosine_embedding


class ImplicitQuantiles(eqx.Module):
    r"""The quantiles of every action's return, at fractions that are given with the observation.

    $$Z_\tau(s, a) = f\big(\psi(s) \odot \phi(\tau)\big)_a, \qquad
      \phi(\tau) = \mathrm{relu}\big(W [\cos(\pi i \tau)]_{i<n} + b\big)$$

    Attributes:
        torso: $\psi$, maps an observation to features.
        embedding: The affine map of $\phi$, from the cosines to as many features.
        head: $f$, maps features to one number an action.
        cosines: $n$.

    References:
        Dabney et al., *Implicit Quantile Networks for Distributional Reinforcement Learning*, 2018, arXiv:1806.06923,
        equation 4.
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    embedding: Callable[[Float[Array, " cosines"]], Float[Array, " features"]]
    head: Callable[[Float[Array, " features"]], Float[Array, " actions"]]
    cosines: int = eqx.field(static=True)

    def __call__(
        self, observation: PyTree[Array], fractions: Float[Array, " quantiles"]
    ) -> Float[Array, "actions quantiles"]:
        """Returns the quantiles."""
        features = self.torso(observation)
        embedded = jax.nn.relu(jax.vmap(self.embedding)(cosine_embedding(fractions, self.cosines)))
        return jax.vmap(self.head, out_axes=1)(features[None] * embedded)
