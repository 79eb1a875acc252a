"""Affine maps whose weights are noisy, so that a policy explores by them."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

_Model = TypeVar("_Model")


class NoisyLinear(eqx.Module):
    r"""An affine map with noise of a learned scale in every weight.

    $$y = (W + \Sigma \odot f(\varepsilon_{out}) f(\varepsilon_{in})^\top)\, x + b + \sigma \odot f(\varepsilon_{out}),
      \qquad f(\varepsilon) = \mathrm{sign}(\varepsilon) \sqrt{|\varepsilon|}$$

    The noise is factorised, one number an input and one an output. It stands still from call to call: `perturbed` draws
    it anew, and until then it is zero. The scales times the noise are never formed as a matrix, so that each of many
    lanes may have noise of its own.

    Attributes:
        weight: $W$.
        bias: $b$, or None.
        weight_scale: $\Sigma$.
        bias_scale: $\sigma$, or None.
        noise_in: $f(\varepsilon_{in})$; no gradient flows into it.
        noise_out: $f(\varepsilon_{out})$; no gradient flows into it.

    Example:
        >>> layer = with_noise(eqx.nn.Linear(3, 2, key=jax.random.key(0)))
        >>> noisy = perturbed(layer, jax.random.key(1))
        >>> bool((layer(jnp.ones(3)) == noisy(jnp.ones(3))).any())
        False

    References:
        Fortunato et al., *Noisy Networks for Exploration*, 2017, arXiv:1706.10295, section 3.
    """

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"] | None
    weight_scale: Float[Array, "outputs inputs"]
    bias_scale: Float[Array, " outputs"] | None
    noise_in: Float[Array, " inputs"]
    noise_out: Float[Array, " outputs"]

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        """Maps one vector."""
        noise_in, noise_out = jax.lax.stop_gradient((self.noise_in, self.noise_out))
        y, deviation = self.weight @ x, self.weight_scale @ (noise_in * x)
        if self.bias is not None and self.bias_scale is not None:
            y, deviation = y + self.bias, deviation + self.bias_scale
        return y + noise_out * deviation


def with_noise(module: _Model, scale: float = 0.5) -> _Model:
    r"""Makes every `equinox.nn.Linear` of a module noisy, without noise as yet; other layers stay.

    Args:
        module: Any tree.
        scale: $\sigma_0$; every scale starts at $\sigma_0 / \sqrt{inputs}$.

    Returns:
        The module.

    References:
        Fortunato et al., *Noisy Networks for Exploration*, 2017, arXiv:1706.10295, section 3.2.
    """

    def one(layer):
        if not isinstance(layer, eqx.nn.Linear):
            return layer
        weight, bias = layer.weight, layer.bias
        start = scale / weight.shape[1] ** 0.5
        return NoisyLinear(
            weight,
            bias,
            jnp.full_like(weight, start),
            None if bias is None else jnp.full_like(bias, start),
            jnp.zeros(weight.shape[1], weight.dtype),
            jnp.zeros(weight.shape[0], weight.dtype),
        )

    return jax.tree.map(one, module, is_leaf=lambda node: isinstance(node, eqx.nn.Linear))


def perturbed(module: _Model, key: Key[Array, ""]) -> _Model:
    """Draws new noise for every `NoisyLinear` of a module.

    Args:
        module: Any tree.
        key: Randomness of the noise.

    Returns:
        The module; itself, if nothing in it is noisy.
    """
    keys = iter(jax.random.split(key, max(count_noisy(module), 1)))
    return jax.tree.map(lambda node: _drawn(node, next(keys)) if _is_noisy(node) else node, module, is_leaf=_is_noisy)


def count_noisy(module) -> int:
    """Returns how many layers of a module are noisy."""
    return sum(map(_is_noisy, jax.tree.leaves(module, is_leaf=_is_noisy)))


def _is_noisy(node) -> bool:
    return isinstance(node, NoisyLinear)


def _drawn(layer: NoisyLinear, key: Key[Array, ""]) -> NoisyLinear:
    def noise(key, like):
        epsilon = jax.random.normal(key, like.shape, like.dtype)
        return jnp.sign(epsilon) * jnp.sqrt(jnp.abs(epsilon))

    in_key, out_key = jax.random.split(key)
    return eqx.tree_at(
        lambda layer: (layer.noise_in, layer.noise_out),
        layer,
        (noise(in_key, layer.noise_in), noise(out_key, layer.noise_out)),
    )
