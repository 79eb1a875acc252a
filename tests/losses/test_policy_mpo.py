"""Maximum a posteriori policy optimisation: by hand, against rlax, across devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy import optimize

from bellmax import losses
from faults import plant
from helpers import assert_close, float32, gradient, lenient

pytestmark = pytest.mark.slow


def _samples(seed=0, samples=4, batch=3):
    rng = np.random.default_rng(seed)
    return float32(*rng.normal(size=(2, samples, batch)), rng.exponential(size=(batch, 2)))


def _penalty(alpha, epsilon, per_dimension=False):
    return rlax.LagrangePenalty(alpha=jnp.float32(alpha), epsilon=epsilon, per_dimension=per_dimension)


def test_weights_and_temperature_by_hand():
    q = jnp.log(jnp.array([1.0, 4.0]))
    # η = ½: e^{q/η} is 1 and 16; mean 8.5.
    assert_close(losses.mpo_weights(q, 0.5), [1 / 17, 16 / 17])
    assert_close(losses.mpo_temperature_loss(q, 0.5, epsilon=0.1), 0.5 * (0.1 + np.log(8.5)))


def test_parts_equal_those_of_rlax_with_a_multiplier_a_dimension():
    log_prob, q, kl = _samples()

    def ours(log_prob, temperature, kl, alpha):
        imitate = losses.mpo_policy_loss(log_prob, losses.mpo_weights(q, temperature))
        adapt = losses.mpo_temperature_loss(q, temperature, epsilon=0.1)
        return jnp.sum(imitate + adapt) + jnp.sum(losses.kl_penalty_loss(kl, alpha, epsilon=0.2))

    def rlax_parts(log_prob, temperature, kl, alpha):
        dual, weights, _ = rlax.mpo_compute_weights_and_temperature_loss(
            q, rlax.LagrangePenalty(temperature, 0.1), lambda x: jnp.clip(x, 1e-10)
        )
        penalty = rlax.compute_parametric_kl_penalty_and_dual_loss(
            [(kl, rlax.LagrangePenalty(alpha, 0.2, True))], lambda x: jnp.clip(x, 1e-10)
        )
        weights = jax.lax.stop_gradient(weights)
        return -jnp.sum(weights * log_prob) + jnp.sum(dual) + jnp.sum(penalty[0]) + jnp.sum(penalty[1])

    arguments = log_prob, jnp.float32(0.7), kl, jnp.float32([0.5, 2.0])
    found = jax.jit(jax.value_and_grad(ours, (0, 1, 2, 3)))(*arguments)
    with lenient():
        expected = jax.jit(jax.value_and_grad(rlax_parts, (0, 1, 2, 3)))(*arguments)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_one_line_is_mpo_of_rlax():
    log_prob, q, kl = _samples(1)
    kl = kl[:, 0]

    def rlaxs(log_prob, temperature, kl, alpha):
        constraints = [(kl, rlax.LagrangePenalty(alpha, 0.2))]
        return jnp.sum(rlax.mpo_loss(log_prob, q, rlax.LagrangePenalty(temperature, 0.1), constraints)[0])

    def ours(log_prob, temperature, kl, alpha):
        return jnp.sum(
            losses.mpo_policy_loss(log_prob, losses.mpo_weights(q, temperature))
            + losses.mpo_temperature_loss(q, temperature, epsilon=0.1)
            + losses.kl_penalty_loss(kl, alpha, epsilon=0.2)
        )

    arguments = log_prob, jnp.float32(0.7), kl, jnp.float32(0.5)
    found = jax.jit(jax.value_and_grad(ours, (0, 1, 2, 3)))(*arguments)
    with lenient():
        expected = jax.jit(jax.value_and_grad(rlaxs, (0, 1, 2, 3)))(*arguments)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_at_the_best_temperature_the_weights_diverge_by_epsilon():
    _, q, _ = _samples(2, samples=50, batch=1)
    data = np.asarray(q, np.float64)[:, 0]
    best = optimize.minimize_scalar(
        lambda x: np.exp(x) * (0.3 + np.log(np.mean(np.exp(data / np.exp(x))))), bounds=(-3, 3), method="bounded"
    )
    temperature = np.exp(best.x)
    weights = np.asarray(jax.jit(losses.mpo_weights)(q, temperature), np.float64)[:, 0]
    assert np.sum(weights * np.log(weights * 50)) == pytest.approx(0.3, abs=1e-3)
    slope = gradient(lambda x: losses.mpo_temperature_loss(q, x, epsilon=0.3), jnp.float32(temperature))
    assert abs(slope) < 1e-3


def test_a_softplus_multiplier_comes_back_where_a_clipped_one_is_stuck():
    """The divergence exceeds its bound, so the multiplier has to grow, from far below zero too."""
    kl, start = jnp.array([1.0]), jnp.float32(-0.5)

    def by_softplus(parameter):
        return losses.kl_penalty_loss(kl, jax.nn.softplus(parameter), epsilon=0.1).sum()

    def by_clip(parameter):
        penalty = rlax.LagrangePenalty(parameter, 0.1)
        parts = rlax.compute_parametric_kl_penalty_and_dual_loss([(kl, penalty)], lambda x: jnp.clip(x, 1e-10))
        return sum(part.sum() for part in parts)

    with lenient():
        assert float(gradient(by_clip, start)) == 0
    assert float(gradient(by_softplus, start)) < -0.1


def test_bounded_multipliers_find_the_constrained_optimum():
    """Minimise (x − 1)² under x² ≤ 0.25: x = ½, multiplier 1."""

    def loss(parameters):
        x, free = parameters
        return jnp.square(x - 1) + losses.kl_penalty_loss(jnp.square(x), jax.nn.softplus(free), epsilon=0.25)

    def step(parameters, _):
        return parameters - 0.05 * jax.grad(loss)(parameters), None

    x, free = jax.jit(lambda start: jax.lax.scan(step, start, length=3000)[0])(jnp.array([0.0, -2.0]))
    assert_close([x, jax.nn.softplus(free)], [0.5, 1.0], atol=1e-2)


def test_multiplier_a_dimension_broadcasts():
    kl, multiplier = jnp.ones((3, 2)), jnp.array([1.0, 2.0])
    slope = jax.grad(lambda kl: losses.kl_penalty_loss(kl, multiplier, epsilon=0.1).sum())(kl)
    assert_close(slope, np.broadcast_to(multiplier, (3, 2)))


def test_weights_of_particles_are_those_of_their_summed_errors():
    """SPO: multiplying the weights step by step is one softmax of the sum."""
    errors, eta = np.random.default_rng(3).normal(size=(5, 4)), 0.6
    weights = np.ones(4)
    for step in errors:
        weights = weights * np.exp(step / eta)
    assert_close(losses.mpo_weights(*float32(errors.sum(0)), eta), weights / weights.sum())


def _vmpo_arguments(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return (*float32(*rng.normal(size=(2, count))), jnp.float32(0.7))


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_vmpo_equals_rlax(fraction):
    log_prob, advantage, temperature = _vmpo_arguments()

    def rlaxs(log_prob, temperature):
        loss, parts = rlax.vmpo_loss(
            log_prob,
            advantage,
            rlax.LagrangePenalty(temperature, 0.1),
            [(jnp.zeros(12), _penalty(1.0, 0.1))],
            top_k_fraction=fraction,
            alpha_loss_weight=0.0,
        )
        return loss.mean(), (parts.policy_loss.mean(), parts.temperature_loss)

    def ours(log_prob, temperature):
        loss = losses.vmpo_loss(log_prob, advantage, temperature, epsilon=0.1, top_fraction=fraction)
        return loss.policy + loss.temperature, (loss.policy, loss.temperature)

    found = jax.jit(jax.value_and_grad(ours, (0, 1), has_aux=True))(log_prob, temperature)
    with lenient():
        expected = jax.jit(jax.value_and_grad(rlaxs, (0, 1), has_aux=True))(log_prob, temperature)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(one, other)


def test_vmpo_temperature_weights_equal_rlax():
    log_prob, advantage, temperature = _vmpo_arguments(1)
    ones = jnp.ones(12)
    with lenient():
        dual, weights, _ = jax.jit(
            lambda ones: rlax.vmpo_compute_weights_and_temperature_loss(
                advantage, ones, ones, _penalty(0.7, 0.1), lambda x: jnp.clip(x, 1e-10), 0.5
            )
        )(ones)

    def ours(log_prob):
        loss = losses.vmpo_loss(log_prob, advantage, temperature, epsilon=0.1)
        return loss.policy, loss.temperature

    (loss, other), slope = jax.jit(jax.value_and_grad(ours, has_aux=True))(log_prob)
    assert_close(-slope, weights)
    assert_close(loss, -np.sum(weights * log_prob))
    assert_close(other, dual)


def test_vmpo_takes_its_half_from_the_valid_examples():
    """Padding must not shrink the half: rlax counts it, and takes 4 of these 4 where 2 are meant."""
    advantage, log_prob = float32([3.0, 1.0, 2.0, 0.0, 9.0, 9.0, 9.0, 9.0], -np.arange(8.0))
    mask = jnp.arange(8) < 4
    loss = losses.vmpo_loss(log_prob, advantage, 1.0, epsilon=0.1, mask=mask)
    weights = np.exp([3.0, 2.0]) / np.exp([3.0, 2.0]).sum()
    assert_close(loss.policy, weights @ [0, 2])
    assert_close(loss.temperature, 0.1 + np.log(np.exp([3.0, 2.0]).mean()))
    with lenient():
        _, theirs, _ = jax.jit(
            lambda mask: rlax.vmpo_compute_weights_and_temperature_loss(
                advantage, mask, jnp.ones(8), _penalty(1.0, 0.1), lambda x: x, 0.5
            )
        )(mask.astype(jnp.float32))
    assert np.count_nonzero(theirs) == 4


def test_vmpo_counts_ties_and_takes_at_least_one():
    advantage, log_prob = float32([1.0, 1.0, 1.0, 0.0], [-1.0, -2.0, -3.0, -100.0])
    # Two of four, but three tie for the second place.
    assert_close(losses.vmpo_loss(log_prob, advantage, 1.0, epsilon=0.1).policy, 2)
    one = losses.vmpo_loss(log_prob[2:], advantage[2:], 1.0, epsilon=0.1, top_fraction=0.01)
    assert_close(one.policy, 3)


def check_vmpo_fraction(vmpo_loss):
    """0.65 of 180 is 117, though its product in float32 falls short."""
    counts = np.array([180, 340, 360, 380, 660])
    advantage = jnp.arange(660, dtype=jnp.float32)

    def policy(log_prob, count):
        mask = advantage < count
        return vmpo_loss(log_prob, advantage, 1e6, epsilon=0.1, top_fraction=0.65, mask=mask).policy

    slopes = jax.jit(jax.vmap(jax.grad(policy), (None, 0)))(jnp.zeros(660), jnp.asarray(counts, jnp.float32))
    np.testing.assert_array_equal(np.count_nonzero(slopes, axis=1), counts * 13 // 20)


def test_vmpo_fraction_is_not_rounded_away():
    check_vmpo_fraction(losses.vmpo_loss)


def test_vmpo_of_nothing_is_zero():
    check_vmpo_of_nothing(losses.vmpo_loss)


def check_vmpo_of_nothing(vmpo_loss):
    log_prob, advantage, temperature = _vmpo_arguments()
    loss = vmpo_loss(log_prob, advantage, temperature, epsilon=0.1, mask=jnp.zeros(12, bool))
    assert_close([loss.policy, loss.temperature], [0, 0], rtol=0, atol=0)


def _dual_slope(x, temperature, epsilon=0.1):
    """ε + log mean e^{x/η} − Σ w x / (η Σ w), in float64."""
    z = (np.asarray(x, np.float64) - np.max(x)) / temperature
    w = np.exp(z)
    return epsilon + np.log(w.mean()) - np.sum(np.where(w == 0, 0, w * np.where(w == 0, 0, z))) / w.sum()


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e4, -1e4])
def test_slopes_of_the_duals_do_not_feel_a_shift(shift):
    # Multiples of 2⁻⁶, so that the shift does not round them.
    x = jnp.asarray(np.round(np.random.default_rng(5).normal(size=12) * 64) / 64 + shift, jnp.float32)

    def both(temperature):
        loss = losses.vmpo_loss(jnp.zeros(12), x, temperature, epsilon=0.1, top_fraction=1.0).temperature
        return jnp.stack([losses.mpo_temperature_loss(x, temperature, epsilon=0.1), loss])

    assert_close(jax.jit(jax.jacrev(both))(jnp.float32(0.7)), [_dual_slope(x, 0.7)] * 2, rtol=1e-5, atol=1e-6)


def test_slopes_of_the_duals_with_impossible_samples_and_without_temperature():
    slope = jax.jit(jax.grad(lambda q, eta: losses.mpo_temperature_loss(q, eta, epsilon=0.1), 1))
    q = jnp.array([-jnp.inf, 0.0, 1.0, 2.0])
    assert_close(slope(q, jnp.float32(0.7)), _dual_slope(q, 0.7))
    for cold in (1e-20, 1e-38, 0.0):
        # One sample of four has all the weight: ε − log 4, and the temperature can come back.
        assert_close(slope(q, jnp.float32(cold)), 0.1 - np.log(4))
        assert_close(jax.jit(losses.mpo_weights)(q, jnp.float32(cold)), [0, 0, 0, 1])


def test_nan_stays_visible():
    log_prob, advantage, temperature = _vmpo_arguments()
    for poisoned in (
        losses.vmpo_loss(log_prob.at[3].set(jnp.nan), jnp.ones(12), temperature, epsilon=0.1).policy,
        losses.vmpo_loss(log_prob, advantage.at[3].set(jnp.nan), temperature, epsilon=0.1).policy,
        losses.vmpo_loss(log_prob, advantage.at[3].set(jnp.nan), temperature, epsilon=0.1).temperature,
        losses.mpo_weights(jnp.array([1.0, jnp.nan]), 1.0)[0],
        losses.mpo_temperature_loss(jnp.array([1.0, jnp.nan]), 1.0, epsilon=0.1),
    ):
        assert np.isnan(poisoned)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("nudge).astype(int)", "1).astype(int)", check_vmpo_fraction),
        (
            "jnp.where(nothing, 0, temperature_dual(found, temperature, epsilon))",
            "temperature_dual(found, temperature, epsilon)",
            check_vmpo_of_nothing,
        ),
    ],
)
def test_the_checks_see_faults(old, new, check):
    faulty = plant("bellmax.losses._vmpo", "vmpo_loss", old, new)
    with pytest.raises(AssertionError):
        check(faulty)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.mpo_weights(x, 0.0), "mpo_weights: temperature must be positive; got 0.0"),
        (lambda x: losses.mpo_temperature_loss(x, -1.0, epsilon=0.1), "mpo_temperature_loss: temperature must be"),
        (lambda x: losses.mpo_temperature_loss(x, 1.0, epsilon=0.0), "mpo_temperature_loss: epsilon must be positive"),
        (lambda x: losses.kl_penalty_loss(x, -1.0, epsilon=0.1), "kl_penalty_loss: multiplier must not be negative"),
        (lambda x: losses.kl_penalty_loss(x, 1.0, epsilon=0.0), "kl_penalty_loss: epsilon must be positive"),
        (lambda x: losses.vmpo_loss(x, x, 0.0, epsilon=0.1), "vmpo_loss: temperature must be positive"),
        (lambda x: losses.vmpo_loss(x, x, 1.0, epsilon=0.0), "vmpo_loss: epsilon must be positive"),
        (
            lambda x: losses.vmpo_loss(x, x, 1.0, epsilon=0.1, top_fraction=0.0),
            r"vmpo_loss: top_fraction must be in \(0",
        ),
        (
            lambda x: losses.vmpo_loss(x, x, 1.0, epsilon=0.1, top_fraction=1.5),
            r"vmpo_loss: top_fraction must be in \(0",
        ),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros(2))
