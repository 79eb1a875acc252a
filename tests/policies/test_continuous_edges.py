"""Far tails, narrow boxes, saturated actions and mixed widths of the continuous policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bellmax.policies import beta, squashed_gaussian, truncated_gaussian
from bellmax.policies._tails import tail
from helpers import assert_close


@pytest.mark.parametrize(("wide", "rtol"), [(False, 1e-6), (True, 1e-12)])
def test_tail_has_no_hole_at_any_slope(wide, rtol):
    with jax.enable_x64(wide):
        slope = jnp.asarray(np.arange(0, 60, 0.05), jnp.float64 if wide else jnp.float32)
        expected = np.sqrt(np.pi / 2) * special.erfcx(np.asarray(slope, np.float64) / np.sqrt(2))
        np.testing.assert_allclose(np.asarray(jax.jit(tail)(slope), np.float64), expected, rtol=rtol)


def test_samples_are_numbers_inside_however_far_the_mean_is_outside():
    far = jnp.linspace(8.0, 16.0, 161)[:, None]  # 12.5 to 13.3 deviations is where erfcx underflows to zero
    pi = truncated_gaussian(1 + far, jnp.zeros_like(far), -1.0, 1.0)
    samples, log_probs = jax.jit(lambda key: pi.sample_and_log_prob(seed=key, sample_shape=(64,)))(jax.random.key(0))
    assert ((samples >= -1) & (samples <= 1)).all()
    assert np.isfinite(log_probs).all()
    # Beyond a bound the density falls off like an exponential of that slope, so that the mean lies 1/slope inside.
    assert_close(1 - np.asarray(samples).mean(), (1 / np.asarray(far)).mean(), rtol=0.05, atol=0)


@pytest.mark.parametrize("box", [(0.0, 1e-9), (-1e-9, 0.0), (99.0, 101.0)])
@pytest.mark.parametrize("make", [squashed_gaussian, beta])
def test_log_prob_and_gradient_are_finite_at_the_bounds_of_any_box(make, box):
    for action in box:
        value, slopes = jax.jit(
            jax.value_and_grad(
                lambda one, other, action=action: make(one, other, *box).log_prob(jnp.array([action])), (0, 1)
            )
        )(jnp.ones(1), jnp.ones(1))
        assert np.isfinite(value)
        assert np.isfinite(slopes).all()


def test_ratio_of_stored_squashed_actions_is_one_at_the_same_parameters():
    rng = np.random.default_rng(0)
    mu, logvar = (
        jnp.asarray(rng.normal(0, 3, (256, 6)), jnp.float32),
        jnp.asarray(rng.uniform(-4, 1, (256, 6)), jnp.float32),
    )

    def score(mu, logvar, action):
        return squashed_gaussian(mu, logvar, 0.0, 10.0).log_prob(action)

    action = squashed_gaussian(mu, logvar, 0.0, 10.0).sample(seed=jax.random.key(0))
    together = jax.jit(score)(mu, logvar, action)
    for other in (
        jax.jit(jax.vmap(score))(mu, logvar, action),
        jnp.concatenate(
            [jax.jit(score)(mu[:128], logvar[:128], action[:128]), jax.jit(score)(mu[128:], logvar[128:], action[128:])]
        ),
    ):
        ratio = np.exp(np.asarray(other, np.float64) - np.asarray(together, np.float64))
        assert (np.abs(ratio - 1) <= 1e-6 * np.maximum(1, np.abs(together))).all()


@pytest.mark.parametrize("make", [squashed_gaussian, truncated_gaussian, beta])
def test_an_action_wider_than_the_parameters_is_not_rounded(make):
    half = jnp.ones((1,), jnp.bfloat16)
    action = jnp.array([0.9973], jnp.float32)
    expected = make(jnp.ones(1), jnp.ones(1), -1.0, 1.0).log_prob(action)
    assert_close(make(half, half, -1.0, 1.0).log_prob(action), expected, rtol=1e-5, atol=1e-5)


def test_bounds_are_not_written_into_the_program():
    mu = jnp.zeros((4096, 6))
    program = jax.make_jaxpr(lambda mu: squashed_gaussian(mu, mu).sample(seed=jax.random.key(0)))(mu)
    assert sum(np.size(constant) for constant in program.consts) < 1000


def test_what_is_not_implemented_names_itself():
    with pytest.raises(NotImplementedError, match="mean"):
        squashed_gaussian(jnp.zeros(1), jnp.zeros(1)).mean()
