"""Curiosity, distillation and the auxiliary rewards, by hand and against rlax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax

from bellmax.exploration import (
    feature_control_rewards,
    forward_dynamics_loss,
    icm_bonus,
    inverse_dynamics_loss,
    pixel_control_rewards,
    rnd_bonus,
)
from helpers import assert_close, gradient, lenient

ONE, OTHER = jnp.array([[1.0, 4.0], [0.0, -1.0]]), jnp.array([[1.0, 2.0], [3.0, -1.0]])


def test_by_hand():
    assert_close(rnd_bonus(ONE, OTHER), [2, 4.5])  # (0 + 4)/2, (9 + 0)/2
    assert_close(icm_bonus(ONE, OTHER, eta=0.5), [1, 2.25])  # 0.25·4, 0.25·9
    assert_close(forward_dynamics_loss(ONE, OTHER), [2, 4.5])
    assert_close(inverse_dynamics_loss(jnp.log(jnp.array([0.25, 0.75])), 0), np.log(4))


def test_gradients_by_hand():
    assert_close(gradient(rnd_bonus, ONE, OTHER), [[0, 2], [-3, 0]])  # 2/d times the difference
    assert_close(gradient(forward_dynamics_loss, ONE, OTHER), [[0, 2], [-3, 0]])
    for argnums in (0, 1):
        assert (gradient(lambda *x: icm_bonus(*x, eta=1.0), ONE, OTHER, argnums=argnums) == 0).all()


def test_inverse_model_equals_the_cross_entropy_and_sees_wrong_actions():
    rng = np.random.default_rng(0)
    logits, action = (
        jnp.asarray(4 * rng.normal(size=(6, 3)), jnp.float32),
        jnp.asarray(rng.integers(0, 3, 6), jnp.int32),
    )
    with lenient():
        expected = optax.softmax_cross_entropy_with_integer_labels(logits, action)
    assert_close(inverse_dynamics_loss(logits, action), expected)
    assert jnp.isnan(inverse_dynamics_loss(logits[0], 3))
    masked = jnp.array([0.0, -jnp.inf])
    assert_close(inverse_dynamics_loss(masked, 0), 0)
    assert np.isfinite(jax.grad(lambda x: inverse_dynamics_loss(x, 0))(masked)).all()


def test_pixel_control_equals_rlax():
    images = jnp.asarray(np.random.default_rng(1).uniform(size=(4, 6, 9, 3)), jnp.float32)
    with lenient():
        expected = rlax.pixel_control_rewards(images, 3)
    assert_close(pixel_control_rewards(images, 3), expected)
    assert pixel_control_rewards(images, 1).shape == (3, 6, 9)
    assert_close(pixel_control_rewards(jnp.array([0, 255], jnp.uint8)[:, None, None, None], 1), [[[255]]])
    assert pixel_control_rewards(images[:1], 3).shape == (0, 2, 3)


@pytest.mark.parametrize("kind", ["feature", "absolute_change", "increase", "decrease", "potential"])
def test_feature_control_equals_rlax(kind):
    features = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)), jnp.float32)
    with lenient():
        expected = rlax.feature_control_rewards(features, kind, 0.9)
    assert_close(feature_control_rewards(features, kind, 0.9), expected)


def test_potentials_telescope():
    features = jnp.asarray(np.random.default_rng(3).normal(size=(5, 3)), jnp.float32)
    rewards = feature_control_rewards(features, "potential", 0.9)
    discounted = sum(0.9**t * rewards[t] for t in range(4))
    assert_close(discounted, 0.9**4 * features[-1] - features[0])


def test_messages():
    images = jnp.zeros((2, 4, 6, 1))
    with pytest.raises(ValueError, match="cell_size must divide height and width, 4 and 6; got 4"):
        pixel_control_rewards(images, 4)
    with pytest.raises(ValueError, match="needs at least one observation; got none"):
        pixel_control_rewards(images[:0], 2)
    with pytest.raises(ValueError, match="needs features of at least one time; got none"):
        feature_control_rewards(jnp.zeros((0, 3)))
    with pytest.raises(TypeError, match="feature_control_rewards"):
        feature_control_rewards(jnp.zeros((2, 3)), "unknown")
    with pytest.raises(ValueError, match="icm_bonus: eta must be at least 0"):
        icm_bonus(ONE, OTHER, eta=-1.0)
