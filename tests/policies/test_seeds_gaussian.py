"""What a Gaussian policy has to do for an actor: its numbers, and the objectives composed from it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from jax.test_util import check_grads
from scipy import stats

from bellmax.losses import approximate_kl, gaussian_cross_entropy, policy_gradient_loss, ppo_clip_loss
from bellmax.policies import gaussian
from helpers import assert_close, float32, lenient

pytestmark = pytest.mark.slow

_RNG = np.random.default_rng(0)
_MU, _LOGVAR, _OLD_MU, _OLD_LOGVAR, _ACTION = _RNG.normal(size=(5, 6, 2))
_ADVANTAGE = _RNG.normal(size=6)
_numbers = jax.jit(lambda pi, action: (pi.log_prob(action), pi.entropy()))


def _vanilla(mu, logvar, action, advantage, beta=0.0):
    pi = gaussian(mu, logvar)
    return jnp.mean(policy_gradient_loss(pi.log_prob(action), advantage) - beta * pi.entropy())


def _ppo(mu, logvar, old, action, advantage, beta=0.0, epsilon=0.2):
    pi = gaussian(mu, logvar)
    loss = ppo_clip_loss(pi.log_prob(action) - old.log_prob(action), advantage, epsilon=epsilon)
    return jnp.mean(loss - beta * pi.entropy())


# --- the distribution ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3)])
def test_box_of_any_shape_is_flattened_to_one_axis(shape, getkey):
    size = int(np.prod(shape))
    outputs = jnp.zeros((5, *shape)).reshape(5, -1)
    pi = gaussian(outputs, outputs)
    assert pi.batch_shape == (5,)
    assert pi.event_shape == (size,)
    action = pi.sample(seed=getkey())
    assert action.reshape(5, *shape).shape == (5, *shape)
    assert pi.log_prob(action).shape == (5,)
    with pytest.raises(TypeError, match="actions must have shape"):
        pi.log_prob(jnp.zeros((5, size + 1)))


def test_log_prob_and_entropy_are_those_of_the_joint_normal():
    joint = [stats.multivariate_normal(mu, np.diag(np.exp(logvar))) for mu, logvar in zip(_MU, _LOGVAR, strict=True)]
    expected = np.array([[one.logpdf(a), one.entropy()] for one, a in zip(joint, _ACTION, strict=True)]).T
    for one, other in zip(_numbers(gaussian(*float32(_MU, _LOGVAR)), *float32(_ACTION)), expected, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        pi = gaussian(jnp.asarray(_MU), jnp.asarray(_LOGVAR))
        for one, other in zip(_numbers(pi, jnp.asarray(_ACTION)), expected, strict=True):
            assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_dimensions_add_up_and_are_not_averaged():
    # Averaging would make ten equal dimensions look like one.
    one, ten = (gaussian(jnp.zeros(n), jnp.zeros(n)) for n in (1, 10))
    for few, many in zip(_numbers(one, jnp.ones(1)), _numbers(ten, jnp.ones(10)), strict=True):
        assert_close(many, 10 * few)
    shifted = [gaussian(jnp.ones(n), jnp.zeros(n)) for n in (1, 10)]
    assert_close(ten.kl_divergence(shifted[1]), 10 * one.kl_divergence(shifted[0]))


def test_sample_is_reparametrised_and_the_mode_is_the_mean(getkey):
    mu, logvar = float32(_MU[0], _LOGVAR[0])
    key = getkey()
    sample, slopes = jax.jit(
        lambda mu, logvar: (
            gaussian(mu, logvar).sample(seed=key),
            jax.jacobian(lambda mu, logvar: gaussian(mu, logvar).sample(seed=key), (0, 1))(mu, logvar),
        )
    )(mu, logvar)
    assert_close(slopes[0], np.eye(2))
    assert_close(slopes[1], np.diag(np.asarray(sample - mu) / 2))
    np.testing.assert_array_equal(gaussian(mu, logvar).mode(), mu)
    samples = np.asarray(gaussian(mu, logvar).sample(seed=key, sample_shape=100_000), np.float64)
    sigma = np.exp(_LOGVAR[0] / 2)
    assert (abs(samples.mean(0) - _MU[0]) < 5 * sigma / np.sqrt(1e5)).all()
    assert (abs(samples.std(0) - sigma) < 5 * sigma / np.sqrt(2e5)).all()


def test_divergence_is_cross_entropy_less_entropy_and_what_samples_say(getkey):
    pi, other = gaussian(*float32(_MU, _LOGVAR)), gaussian(*float32(_OLD_MU, _OLD_LOGVAR))
    divergence, cross, entropy = (
        np.asarray(x) for x in (pi.kl_divergence(other), pi.cross_entropy(other), pi.entropy())
    )
    assert_close(divergence, cross - entropy, rtol=1e-4, atol=1e-4)
    assert (divergence >= 0).all()
    action, log_prob = pi.sample_and_log_prob(seed=getkey(), sample_shape=20_000)
    gap = np.asarray(log_prob - other.log_prob(action), np.float64)
    assert (abs(gap.mean(0) - divergence) < 4.5 * gap.std(0) / np.sqrt(20_000)).all()


# --- the objectives --------------------------------------------------------------------------------------------------


def test_vanilla_gradient_is_the_score_times_the_advantage():
    slopes = jax.jit(jax.grad(_vanilla, (0, 1)))(*float32(_MU, _LOGVAR, _ACTION, _ADVANTAGE))
    scaled = (_ACTION - _MU) / np.exp(_LOGVAR)
    weight = -_ADVANTAGE[:, None] / 6
    assert_close(slopes[0], weight * scaled)
    assert_close(slopes[1], weight * 0.5 * ((_ACTION - _MU) * scaled - 1))


def test_ppo_at_the_behaviour_policy_is_minus_the_advantage_with_the_vanilla_gradient():
    mu, logvar, action, advantage = float32(_MU, _LOGVAR, _ACTION, _ADVANTAGE)
    value, slope = jax.value_and_grad(_ppo)(mu, logvar, gaussian(mu, logvar), action, advantage)
    assert_close(value, -_ADVANTAGE.mean())
    assert_close(slope, jax.grad(_vanilla)(mu, logvar, action, advantage))


@pytest.mark.parametrize(
    ("shift", "advantage", "moves"), [(0.5, 1.0, False), (-0.5, -1.0, False), (0.5, -1.0, True), (-0.5, 1.0, True)]
)
def test_ppo_gradient_is_zero_where_the_policy_has_moved_far_enough(shift, advantage, moves):
    # At a = 1 a mean moved from 0 to ±½ multiplies the density by e^{½ − ⅛} = 1.45 or e^{−½ − ⅛} = 0.54.
    old = gaussian(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    slope = jax.grad(_ppo)(*float32([[shift]], [[0.0]]), old, *float32([[1.0]], [advantage]))
    assert (float(slope[0, 0]) != 0) == moves


def test_cross_entropy_objective_is_the_distribution_s_own_and_rests_only_at_its_target():
    mu, logvar, target_mu, target_logvar = float32(_MU, _LOGVAR, _OLD_MU, _OLD_LOGVAR)
    loss = gaussian_cross_entropy(mu, logvar, target_mu, target_logvar)
    target = gaussian(target_mu, target_logvar)
    assert_close(loss, target.cross_entropy(gaussian(mu, logvar)), rtol=1e-4, atol=1e-4)
    assert (np.asarray(loss) >= np.asarray(target.entropy()) - 1e-5).all()
    slope = jax.jit(jax.grad(lambda *args: jnp.sum(gaussian_cross_entropy(*args)), (0, 1)))
    for leaf in slope(target_mu, target_logvar, target_mu, target_logvar):
        assert_close(leaf, np.zeros((6, 2)), atol=1e-6)
    for leaf in slope(mu, logvar, target_mu, target_logvar):
        assert (np.asarray(leaf) != 0).any()
    for axis, other in enumerate((target_mu + 0.1, target_logvar + 0.1)):
        moved = [target_mu, target_logvar]
        moved[axis] = other
        assert (np.asarray(slope(*moved, target_mu, target_logvar)[axis]) != 0).all()


def test_finite_differences_agree_with_every_objective():
    with jax.enable_x64(True), lenient():
        mu, logvar, old_mu, old_logvar, action = (
            jnp.asarray(x) for x in (_MU, _LOGVAR, _MU + 0.05, _LOGVAR - 0.05, _ACTION)
        )
        old, advantage = gaussian(old_mu, old_logvar), jnp.asarray(_ADVANTAGE)
        objectives = (
            lambda mu, logvar: _vanilla(mu, logvar, action, advantage, 0.01),
            lambda mu, logvar: _ppo(mu, logvar, old, action, advantage, 0.01, epsilon=0.9),
            lambda mu, logvar: jnp.mean(gaussian_cross_entropy(mu, logvar, old_mu, old_logvar)),
        )
        for objective in objectives:
            check_grads(jax.jit(objective), (mu, logvar), order=1, modes=("rev",), rtol=1e-5, atol=1e-6, eps=1e-6)


@pytest.mark.parametrize("strategy", ["vanilla", "ppo"])
def test_entropy_is_a_bonus_in_every_objective(strategy):
    mu, logvar, action, advantage = float32(_MU, _LOGVAR, _ACTION, _ADVANTAGE)
    pi = gaussian(mu, logvar)
    loss = {
        "vanilla": lambda beta, logvar, advantage: _vanilla(mu, logvar, action, advantage, beta),
        "ppo": lambda beta, logvar, advantage: _ppo(mu, logvar, pi, action, advantage, beta),
    }[strategy]
    assert_close(jax.grad(loss)(0.01, logvar, advantage), -np.mean(pi.entropy()))

    @jax.jit
    def entropy_after_steps(beta):
        def step(logvar, _):
            return logvar - jax.grad(loss, 1)(beta, logvar, 0 * advantage), None

        return jnp.mean(gaussian(mu, jax.lax.scan(step, logvar, length=10)[0]).entropy())

    entropies = [float(entropy_after_steps(beta)) for beta in (0.0, 0.01, 0.1)]
    assert entropies[0] < entropies[1] < entropies[2]


def test_target_policy_follows_softly_and_has_no_gradient():
    class Policy(eqx.Module):
        network: eqx.nn.Linear

        def __call__(self, observation):
            return gaussian(*jnp.split(self.network(observation), 2))

    policy, target = (Policy(eqx.nn.Linear(3, 4, key=jax.random.key(i))) for i in range(2))
    observation, action, advantage = jnp.array([0.5, -1.0, 2.0]), jnp.array([0.3, -0.2]), jnp.array(-1.5)

    @eqx.filter_value_and_grad
    def loss(both):
        log_ratio = both[0](observation).log_prob(action) - jax.lax.stop_gradient(both[1])(observation).log_prob(action)
        return ppo_clip_loss(log_ratio, advantage)

    _, (slopes, target_slopes) = loss((policy, target))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(slopes))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(target_slopes))
    # One step of gradient descent by optax is one by hand, and leaves the target alone.
    optimiser = optax.sgd(0.1)
    updates, _ = optimiser.update(slopes, optimiser.init(policy))
    stepped = optax.apply_updates(policy, updates)
    assert_close(stepped.network.weight, policy.network.weight - 0.1 * slopes.network.weight)
    followed = optax.incremental_update(stepped, target, 0.1)
    assert_close(followed.network.bias, 0.9 * np.asarray(target.network.bias) + 0.1 * np.asarray(stepped.network.bias))
    synced = optax.incremental_update(stepped, target, 1.0)
    for one, other in zip(jax.tree.leaves(synced), jax.tree.leaves(stepped), strict=True):
        np.testing.assert_array_equal(one, other)
    # The divergence from the target, for the metrics: none once synced, positive before.
    assert float(synced(observation).kl_divergence(stepped(observation))) == 0
    assert float(target(observation).kl_divergence(stepped(observation))) > 0


def test_divergence_estimated_from_ratios_is_unbiased(getkey):
    old, new = gaussian(*float32(_MU, _LOGVAR)), gaussian(*float32(_MU + 0.2, _LOGVAR + 0.1))
    action, log_prob = old.sample_and_log_prob(seed=getkey(), sample_shape=20_000)
    estimate = np.asarray(approximate_kl(new.log_prob(action) - log_prob), np.float64)
    expected = np.asarray(old.kl_divergence(new))
    assert (abs(estimate.mean(0) - expected) < 5 * estimate.std(0) / np.sqrt(20_000)).all()


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_an_advantage_with_an_axis_too_many_is_refused():
    mu, logvar, action, advantage = float32(_MU, _LOGVAR, _ACTION, _ADVANTAGE[:, None])
    with pytest.raises(jaxtyping.TypeCheckError, match="advantage"):
        _vanilla(mu, logvar, action, advantage)
    with pytest.raises(jaxtyping.TypeCheckError, match="advantage"):
        _ppo(mu, logvar, gaussian(mu, logvar), action, advantage)


def test_actions_of_another_space_are_refused():
    pi = gaussian(*float32(_MU, _LOGVAR))
    for wrong in (jnp.zeros(6, jnp.int32), jnp.zeros((6, 3)), jnp.zeros((5, 2))):
        with pytest.raises(TypeError, match="actions must have shape"):
            pi.log_prob(wrong)
