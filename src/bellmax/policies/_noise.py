"""Noise that explores, added to actions or to probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Key

from .._core import RealScalarLike, at_least_float32, checked, guard, mix

Bound = RealScalarLike | Float[Array, "*#batch"]


@checked
def add_gaussian_noise(
    action: Float[Array, "*batch"],
    stddev: RealScalarLike | Float[Array, "*#batch"],
    *,
    key: Key[Array, ""],
    low: Bound | None = None,
    high: Bound | None = None,
) -> Float[Array, "*batch"]:
    r"""Adds independent normal noise to every number of an action.

    $$a' = \text{clip}(a + \sigma\varepsilon,\ l,\ h), \qquad \varepsilon \sim \mathcal{N}(0, 1)$$

    Args:
        action: $a$, of any shape, in its own units.
        stddev: $\sigma \geq 0$, the standard deviation, in the units of the action; a number, or an array that
            broadcasts to the action.
        key: Randomness of the noise.
        low: $l$, the lower bound, or None for none.
        high: $h > l$, the upper bound, or None for none.

    Returns:
        The noisy action. Differentiable in the action and σ, with gradient zero where it is clipped.

    Raises:
        ValueError: If σ is known and negative, or low and high are known and low is not below high.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> add_gaussian_noise(jnp.array([1.0, -5.0]), 0.0, key=jax.random.key(0), low=-2.0).tolist()
        [1.0, -2.0]

    References:
        Fujimoto, van Hoof and Meger, *Addressing Function Approximation Error in Actor-Critic Methods*, 2018,
        arXiv:1802.09477, section 6.1.
    """
    stddev = _like(action, guard(stddev, lambda x: x >= 0, "add_gaussian_noise: stddev must not be negative"))
    noisy = action + stddev * jax.random.normal(key, action.shape, action.dtype)
    return jnp.clip(noisy, *_ordered(low, high, action, "add_gaussian_noise"))


@checked
def ornstein_uhlenbeck(
    noise: Float[Array, "*batch"],
    *,
    key: Key[Array, ""],
    theta: RealScalarLike = 0.15,
    sigma: RealScalarLike = 0.2,
    mu: RealScalarLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Moves correlated noise one step on.

    $$x_{t+1} = x_t + \theta(\mu - x_t) + \sigma\varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, 1)$$

    The noise is the state: start it at zeros of the action's shape, add it to the action, keep it for the next step,
    and set it back where an episode begins. In the long run its mean is μ, its variance σ² / (1 − (1 − θ)²), and its
    correlation over k steps (1 − θ)^k.

    Args:
        noise: $x_t$, in the units of the action.
        key: Randomness of this step.
        theta: $\theta \in [0, 1]$, the pull to the mean: 0 is a random walk, 1 is independent noise.
        sigma: $\sigma \geq 0$, the standard deviation of a step, in the units of the action.
        mu: $\mu$, the mean.

    Returns:
        $x_{t+1}$.

    Raises:
        ValueError: If θ is known and outside [0, 1], or σ is known and negative.
        jaxtyping.TypeCheckError: If a shape or type does not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> ornstein_uhlenbeck(jnp.array([1.0, -2.0]), key=jax.random.key(0), theta=0.5, sigma=0.0).tolist()
        [0.5, -1.0]

    References:
        Uhlenbeck and Ornstein, *On the Theory of the Brownian Motion*, Physical Review 36, 1930; Lillicrap et al.,
        *Continuous Control with Deep Reinforcement Learning*, 2015, arXiv:1509.02971, section 7.
    """
    theta = guard(theta, lambda x: (x >= 0) & (x <= 1), "ornstein_uhlenbeck: theta must be in [0, 1]")
    sigma = guard(sigma, lambda x: x >= 0, "ornstein_uhlenbeck: sigma must not be negative")
    theta, sigma, mu = (_like(noise, knob) for knob in (theta, sigma, mu))
    return noise + theta * (mu - noise) + sigma * jax.random.normal(key, noise.shape, noise.dtype)


@checked
def target_policy_smoothing(
    action: Float[Array, "*batch"],
    *,
    key: Key[Array, ""],
    stddev: RealScalarLike = 0.2,
    clip: RealScalarLike = 0.5,
    low: Bound = -1.0,
    high: Bound = 1.0,
) -> Float[Array, "*batch"]:
    r"""Blurs the action of a target policy, so that its value is learned over a neighbourhood.

    $$a' = \text{clip}\left(a + \frac{h - l}{2}\,\text{clip}(\sigma\varepsilon, -c, c),\ l,\ h\right), \qquad
      \varepsilon \sim \mathcal{N}(0, 1)$$

    The deviation and the clip are shares of half the range, so that the paper's numbers, for actions in [−1, 1], do for
    any bounds.

    Args:
        action: $a$, the action of the target policy in the next state, in its own units.
        key: Randomness of the noise.
        stddev: $\sigma \geq 0$, in halves of the range.
        clip: $c \geq 0$, the largest noise, in halves of the range.
        low: $l$, the lower bounds; a number, or an array that broadcasts to the action.
        high: $h > l$, the upper bounds, likewise.

    Returns:
        The blurred action, inside the bounds.

    Raises:
        ValueError: If σ or c is known and negative, or the bounds are known and low is not below high.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> target_policy_smoothing(jnp.array([0.5, 3.0]), key=jax.random.key(0), stddev=0.0).tolist()
        [0.5, 1.0]

    References:
        Fujimoto, van Hoof and Meger, *Addressing Function Approximation Error in Actor-Critic Methods*, 2018,
        arXiv:1802.09477, equation 14.
    """
    stddev = guard(stddev, lambda x: x >= 0, "target_policy_smoothing: stddev must not be negative")
    clip = guard(clip, lambda x: x >= 0, "target_policy_smoothing: clip must not be negative")
    stddev, clip = _like(action, stddev), _like(action, clip)
    lowest, highest = _ordered(low, high, action, "target_policy_smoothing")
    noise = jnp.clip(stddev * jax.random.normal(key, action.shape, action.dtype), -clip, clip)
    return jnp.clip(action + noise * ((highest - lowest) / 2), lowest, highest)


@checked
def add_dirichlet_noise(
    probs: Float[Array, "*batch actions"],
    *,
    key: Key[Array, ""],
    alpha: RealScalarLike = 0.3,
    fraction: RealScalarLike = 0.25,
    mask: Bool[Array, "*batch actions"] | Bool[Array, " actions"] | None = None,
) -> Float[Array, "*batch actions"]:
    r"""Mixes a prior over actions with a random one, as at the root of a tree search.

    $$p' = (1 - f)\,p + f\,\eta, \qquad \eta \sim \text{Dirichlet}(\alpha, \dots, \alpha)$$

    Args:
        probs: $p$, probabilities that sum to 1.
        key: Randomness of the noise.
        alpha: $\alpha > 0$: the smaller, the fewer actions share the noise. The paper takes 0.3 for chess, 0.15 for
            shogi, 0.03 for Go.
        fraction: $f \in [0, 1]$, how much of the result is noise.
        mask: True for the actions that are legal; a row for each example or one for all, None if all are. The others
            get no noise and lose what p gives them: the rest is scaled to sum to 1, or is uniform where p gives it
            nothing.

    Returns:
        $p'$, probabilities that sum to 1; NaN where no action is legal and that is not known beforehand.

    Raises:
        ValueError: If α is known and not positive, f is known and outside [0, 1], or no action is known to be legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> add_dirichlet_noise(jnp.array([0.25, 0.75]), key=jax.random.key(0), fraction=0.0).tolist()
        [0.25, 0.75]

    References:
        Silver et al., *Mastering Chess and Shogi by Self-Play with a General Reinforcement Learning Algorithm*, 2017,
        arXiv:1712.01815, methods.
    """
    alpha = guard(alpha, lambda x: x > 0, "add_dirichlet_noise: alpha must be positive")
    fraction = guard(fraction, lambda x: (x >= 0) & (x <= 1), "add_dirichlet_noise: fraction must be in [0, 1]")
    wide = at_least_float32(probs)
    log_gamma = jax.random.loggamma(key, _like(wide, alpha), wide.shape, wide.dtype)
    if mask is not None:
        mask = guard(mask, lambda mask: mask.any(-1), "add_dirichlet_noise: at least one action must be legal")
        mask = jnp.broadcast_to(mask, wide.shape)
        log_gamma = jnp.where(mask, log_gamma, -jnp.inf)
        wide = _conditioned(wide, mask)
    noise = jax.nn.softmax(log_gamma, axis=-1)
    return mix(wide, noise, _like(wide, fraction)).astype(probs.dtype)


def _conditioned(probs: Array, mask: Array) -> Array:
    legal = jnp.where(mask, probs, 0)
    total = jnp.sum(legal, axis=-1, keepdims=True)
    is_empty = total == 0
    allowed = mask.astype(probs.dtype)
    uniform = allowed / jnp.sum(allowed, axis=-1, keepdims=True)
    return jnp.where(is_empty, uniform, legal / jnp.where(is_empty, 1, total))


def _like(array: Array, knob) -> Array:
    return jnp.broadcast_to(jnp.asarray(knob, array.dtype), array.shape)


def _ordered(low, high, action: Array, function: str) -> Any:
    """Returns bounds in the shape and type of an action, None for none; refuses an empty box."""
    if low is None or high is None:
        return tuple(None if bound is None else _like(action, bound) for bound in (low, high))
    xp = jnp if isinstance(low, Tracer) or isinstance(high, Tracer) else np
    box = guard(
        xp.stack(xp.broadcast_arrays(*(xp.asarray(bound, action.dtype) for bound in (low, high)))),
        lambda box: box[0] < box[1],
        f"{function}: low must be below high",
    )
    return _like(action, box[0]), _like(action, box[1])
