"""What brings value functions of other kinds to one value an action."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core import at_least_float32, expected_value


class CategoricalMean(eqx.Module):
    r"""The mean of a return distribution over fixed atoms.

    $$Q(s, a) = \sum_i \frac{e^{l_i(s, a)}}{\sum_j e^{l_j(s, a)}}\,z_i$$

    Attributes:
        network: Maps an observation to the logits of the atoms, of each action; or an observation and an action to
            those of this action.
        atoms: $z$, in the units of the mean. No gradient flows into them, but they are an array among the parameters:
            an optimiser that moves those without a gradient too, as weight decay does, must leave them out.

    Example:
        >>> q = CategoricalMean(lambda observation: jnp.zeros((4, 3)), jnp.array([-1.0, 0.0, 4.0]))
        >>> q(None).tolist()
        [1.0, 1.0, 1.0, 1.0]

    References:
        Bellemare et al., *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887.
    """

    network: Callable[..., Float[Array, "*actions atoms"]]
    atoms: Float[Array, " atoms"]

    def __check_init__(self):
        _check_network(self)

    def __call__(self, observation: PyTree[Array], *action: Array) -> Float[Array, "*actions"]:
        """Returns the mean, in float32 or wider."""
        logits = self.network(observation, *action)
        if logits.shape[-1:] != self.atoms.shape:
            raise TypeError(f"CategoricalMean: one logit for each of {self.atoms.shape} atoms; got {logits.shape}")
        probs = jax.nn.softmax(at_least_float32(logits), axis=-1)
        atoms = jax.lax.stop_gradient(self.atoms).astype(probs.dtype)
        return expected_value(jnp.broadcast_to(atoms, probs.shape), probs)


class QuantileMean(eqx.Module):
    r"""The mean of a return distribution that is given by its quantiles.

    $$Q(s, a) = \frac{1}{n} \sum_i \theta_i(s, a)$$

    Attributes:
        network: Maps an observation to n quantiles of each action; or an observation and an action to those of this
            action.

    Example:
        >>> QuantileMean(lambda observation: jnp.array([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]]))(None).tolist()
        [3.0, 0.0]

    References:
        Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017, arXiv:1710.10044.
    """

    network: Callable[..., Float[Array, "*actions quantiles"]]

    def __check_init__(self):
        _check_network(self)

    def __call__(self, observation: PyTree[Array], *action: Array) -> Float[Array, "*actions"]:
        """Returns the mean, in float32 or wider."""
        return jnp.mean(at_least_float32(self.network(observation, *action)), axis=-1)


class EveryAction(eqx.Module):
    """A value of one action given with the observation, taken of every action.

    Attributes:
        network: Maps an observation and an action, one-hot, to the value of this action, an array without axes.
        num_actions: How many actions there are.

    Example:
        >>> q = EveryAction(lambda observation, action: observation * action[1], 3)
        >>> q(jnp.array(2.0)).tolist()
        [0.0, 2.0, 0.0]
    """

    network: Callable[[PyTree[Array], Float[Array, " actions"]], Float[Array, ""]]
    num_actions: int = eqx.field(static=True)

    def __check_init__(self):
        _check_network(self)

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " actions"]:
        """Returns one value an action."""
        q = jax.vmap(self.network, in_axes=(None, 0))(observation, jnp.eye(self.num_actions))
        if q.ndim != 1:
            raise TypeError(f"EveryAction: the network must return one number an action; got shape {q.shape[1:]}")
        return q


def _check_network(module) -> None:
    if not callable(module.network):
        raise TypeError(f"{type(module).__name__}: network must be a function of observations; got {module.network!r}")
