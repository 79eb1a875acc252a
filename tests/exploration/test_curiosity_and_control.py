"""Curiosity, distillation and the auxiliary rewards, by hand and against rlax."""

import functools

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
    potential_reward,
    rnd_bonus,
)
from helpers import assert_close, gradient, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
pixels = functools.partial(pixel_control_rewards, cell_size=3)
ONE, OTHER = jnp.array([[1.0, 4.0], [0.0, -1.0]]), jnp.array([[1.0, 2.0], [3.0, -1.0]])


def test_by_hand():
    assert_close(quick(rnd_bonus)(ONE, OTHER), [2, 4.5])  # (0 + 4)/2, (9 + 0)/2
    assert_close(quick(icm_bonus)(ONE, OTHER, eta=0.5), [1, 2.25])  # 0.25·4, 0.25·9
    assert_close(quick(forward_dynamics_loss)(ONE, OTHER), [2, 4.5])
    assert_close(inverse_dynamics_loss(jnp.log(jnp.array([0.25, 0.75])), 0), np.log(4))


def test_gradients_by_hand():
    @quick
    def slopes(one, other):
        return [gradient(each, one, other, argnums=(0, 1)) for each in (rnd_bonus, forward_dynamics_loss, icm_bonus)]

    for (by_one, by_other), expected in zip(slopes(ONE, OTHER), ([[0, 2], [-3, 0]], [[0, 2], [-3, 0]], 0), strict=True):
        assert_close(by_one, np.broadcast_to(expected, (2, 2)))  # 2/d times the difference, the difference, data
        assert (np.asarray(by_other) == 0).all()


def test_inverse_model_equals_the_cross_entropy_and_sees_wrong_actions():
    rng = np.random.default_rng(0)
    logits, action = (
        jnp.asarray(4 * rng.normal(size=(6, 3)), jnp.float32),
        jnp.asarray(rng.integers(0, 3, 6), jnp.int32),
    )
    with lenient():
        expected = quick(optax.softmax_cross_entropy_with_integer_labels)(logits, action)
    assert_close(quick(inverse_dynamics_loss)(logits, action), expected)
    assert jnp.isnan(inverse_dynamics_loss(logits[0], 3))
    masked = jnp.array([0.0, -jnp.inf])
    assert_close(inverse_dynamics_loss(masked, 0), 0)
    assert np.isfinite(quick(jax.grad(lambda x: inverse_dynamics_loss(x, 0)))(masked)).all()


@pytest.mark.parametrize("function", [rnd_bonus, forward_dynamics_loss, icm_bonus])
def test_half_precision_targets_stand_beside_float32_predictions(function):
    half = OTHER.astype(jnp.bfloat16)
    for one, other, dtype in ((ONE, half, jnp.float32), (half, half, jnp.bfloat16)):
        assert jax.eval_shape(function, one, other).dtype == dtype
    # 256 + 1 is 256 in bfloat16, where the squares would be summed.
    assert_close(function(jnp.array([16.0, 1.0, 1.0]), jnp.zeros(3, jnp.bfloat16)) / function(ONE[0], ONE[0] - 1), {
        rnd_bonus: 258 / 3, forward_dynamics_loss: 258 / 2, icm_bonus: 258 / 2
    }[function])  # fmt: skip


def test_pixel_control_equals_rlax_along_an_episode():
    images = jnp.asarray(np.random.default_rng(1).uniform(size=(4, 6, 9, 3)), jnp.float32)
    with lenient():
        expected = quick(functools.partial(rlax.pixel_control_rewards, cell_size=3))(images)
    assert_close(quick(pixels)(images[:-1], images[1:]), expected)


def test_no_frame_is_compared_with_one_after_a_reset():
    # Two black frames end an episode; the next one begins with a white frame.
    black, white = jnp.zeros((1, 3, 3, 1)), jnp.ones((1, 3, 3, 1))
    seen = jnp.concatenate([black, black, white, white])
    true_successor = jnp.concatenate([black, black, white])
    with lenient():
        assert_close(rlax.pixel_control_rewards(seen, 3)[:, 0, 0], [0, 1, 0])
    assert_close(pixels(seen[:-1], true_successor)[:, 0, 0], [0, 0, 0])


def test_pixels_are_converted_and_cells_keep_batch_axes():
    shape = jax.eval_shape(pixels, jnp.zeros((2, 5, 6, 9, 3)), jnp.zeros((2, 5, 6, 9, 3))).shape
    assert shape == (2, 5, 2, 3)
    dark, bright = (jnp.full((1, 1, 1), level, jnp.uint8) for level in (0, 255))
    assert_close(pixel_control_rewards(bright, dark, cell_size=1), [[255]])


def test_feature_control_equals_rlax_along_an_episode():
    features = jnp.asarray(np.random.default_rng(2).normal(size=(5, 3)), jnp.float32)
    with lenient():
        expected = rlax.feature_control_rewards(features, "absolute_change")
    assert_close(feature_control_rewards(features[:-1], features[1:]), expected)


def test_potentials_telescope_to_minus_the_first_where_the_episode_terminates():
    potentials = np.random.default_rng(3).normal(size=6).astype(np.float32)
    after = potentials[1:].copy()
    for last, rest in ((0.0, 0.0), (0.9, 0.9**5 * potentials[5])):
        discounts = np.array([0.9, 0.9, 0.9, 0.9, last], np.float32)
        after[-1] = np.inf if last == 0 else potentials[5]  # erased by the discount of a terminal step
        rewards = quick(potential_reward)(potentials[:-1], discounts, after)
        total = sum(0.9**t * float(rewards[t]) for t in range(5))
        assert_close(total, rest - potentials[0])


def test_potentials_equal_rlax_with_one_discount():
    features = jnp.asarray(np.random.default_rng(4).normal(size=(5, 3)), jnp.float32)
    with lenient():
        expected = quick(lambda x: rlax.feature_control_rewards(x, "potential", 0.9))(features)
    assert_close(quick(potential_reward)(features[:-1], jnp.full((4, 3), 0.9), features[1:]), expected)


def test_messages():
    image = jnp.zeros((4, 6, 1))
    for cell_size in (4, 0, -2):
        with pytest.raises(ValueError, match=f"cell_size must divide height and width, 4 and 6; got {cell_size}"):
            pixel_control_rewards(image, image, cell_size=cell_size)
    with pytest.raises(TypeError, match="pixel_control_rewards"):
        pixel_control_rewards(image, image[:2], cell_size=2)
    with pytest.raises(TypeError, match="feature_control_rewards"):
        feature_control_rewards(jnp.zeros((2, 3)), jnp.zeros((1, 3)))
    with pytest.raises(TypeError, match="potential_reward"):
        potential_reward(jnp.zeros(2), jnp.array(0.9), jnp.zeros(2))
    with pytest.raises(ValueError, match="icm_bonus: eta must be at least 0"):
        icm_bonus(ONE, OTHER, eta=-1.0)
