"""Planted faults: each is one exact change of the source, and a check of the suite must see it.

A check that passes on the source and on a faulty copy of it checks nothing.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

import helpers
from faults import changed, execute, source_of


@dataclass(frozen=True)
class Mutant:
    """A fault: where it is planted, what is changed, which function shows it and which check must fail.

    Where the function lives in another module than the fault, `through` names it: it is executed anew on the fault.
    """

    name: str
    module: str
    function: str
    old: str
    new: str
    check: Callable
    through: str | None = None


_LAMBDA, _GAE, _N_STEP = ("bellmax.returns._lambda", "bellmax.returns._gae", "bellmax.returns._n_step")
_PPO, _VALUE, _Q = "bellmax.losses._ppo", "bellmax.losses._value", "bellmax.losses._q_learning"
_GREEDY, _DISCRETE = "bellmax.policies._epsilon_greedy", "bellmax.policies._discrete"
_BOLTZMANN, _CATEGORICAL = "bellmax.policies._boltzmann", "bellmax.policies._categorical"
_GAUSSIAN, _NUMERICS = "bellmax.policies._gaussian", "bellmax._core._numerics"
_REDUCE, _RANDOM, _GRADIENT = "bellmax._core._reduce", "bellmax._core._random", "bellmax._core._gradient"
_BOOTSTRAP = "bellmax.losses._bootstrap"

MUTANTS = [
    # Returns
    Mutant(
        "truncation leaks into lambda",
        _LAMBDA,
        "lambda_returns",
        "mix(next_value, later_return, lambda_)",
        "later_return",
        helpers.check_lambda_returns_cut_at_truncation,
    ),
    Mutant(
        "lambda mixes the wrong way round",
        _LAMBDA,
        "lambda_returns",
        "mix(next_value, later_return, lambda_)",
        "mix(later_return, next_value, lambda_)",
        helpers.check_lambda_returns_loop,
    ),
    Mutant(
        "discount missing",
        _LAMBDA,
        "lambda_returns",
        "reward + multiply_no_nan(mix(next_value, later_return, lambda_), discount)",
        "reward + mix(next_value, later_return, lambda_)",
        helpers.check_lambda_returns_loop,
    ),
    Mutant(
        "next value off by one",
        _LAMBDA,
        "lambda_returns",
        "(rewards, discounts, next_values, lambdas))",
        "(rewards, discounts, next_values.at[1:].set(next_values[:-1]), lambdas))",
        helpers.check_lambda_returns_loop,
    ),
    Mutant(
        "the last step does not bootstrap",
        _LAMBDA,
        "lambda_returns",
        "reverse_scan(step, next_values[-1],",
        "reverse_scan(step, 0 * next_values[-1],",
        helpers.check_lambda_returns_loop,
    ),
    Mutant(
        "bootstrap not erased at a termination",
        _LAMBDA,
        "lambda_returns",
        "multiply_no_nan(mix(next_value, later_return, lambda_), discount)",
        "discount * mix(next_value, later_return, lambda_)",
        helpers.check_lambda_returns_cut_at_termination,
    ),
    Mutant(
        "advantage without its baseline",
        _GAE,
        "gae",
        'lambda_recurrence("gae", rewards, discounts, next_values, lambda_) - values',
        'lambda_recurrence("gae", rewards, discounts, next_values, lambda_)',
        helpers.check_gae_loop,
    ),
    Mutant(
        "advantage subtracts the successor's value",
        _GAE,
        "gae",
        "lambda_) - values",
        "lambda_) - next_values",
        helpers.check_gae_loop,
    ),
    Mutant(
        "one reward too many",
        _N_STEP,
        "n_step_returns",
        "length=min(n, rewards.shape[0]) - 1",
        "length=min(n, rewards.shape[0])",
        helpers.check_n_step_loop,
    ),
    Mutant(
        "n-step window wraps around the trajectory",
        _N_STEP,
        "n_step_returns",
        ".at[-1].set(0)",
        "",
        helpers.check_n_step_loop,
    ),
    Mutant(
        "n-step window looks through a termination",
        _N_STEP,
        "n_step_returns",
        "multiply_no_nan(mix(next_values, later, lambdas), discounts)",
        "mix(next_values, later, lambdas)",
        helpers.check_n_step_ignores_what_follows_a_termination,
    ),
    # Losses
    Mutant(
        "ratio clip missing",
        _PPO,
        "ppo_clip_loss",
        "jnp.clip(ratio, 1 - epsilon, 1 + high) * advantage",
        "ratio * advantage",
        helpers.check_ppo_gradient_sides,
    ),
    Mutant("max for min", _PPO, "ppo_clip_loss", "-jnp.minimum(", "-jnp.maximum(", helpers.check_ppo_gradient_sides),
    Mutant("sign of the surrogate", _PPO, "ppo_clip_loss", "-jnp.minimum(", "jnp.minimum(", helpers.check_ppo_loop),
    Mutant(
        "far log ratios overflow",
        _PPO,
        "ppo_clip_loss",
        "ratio_of(log_ratio)",
        "jnp.exp(log_ratio)",
        helpers.check_ppo_finite_far_away,
    ),
    Mutant(
        "gradient leaks into the advantage",
        _PPO,
        "ppo_clip_loss",
        "advantage = jax.lax.stop_gradient(advantage)",
        "pass",
        helpers.check_ppo_advantage_is_data,
    ),
    Mutant(
        "gradient leaks into the value target",
        _VALUE,
        "value_loss",
        "jax.lax.stop_gradient(target) - value",
        "target - value",
        helpers.check_value_target_is_data,
    ),
    Mutant("half missing", _VALUE, "value_loss", "return 0.5 * jnp", "return jnp", helpers.check_value_loss),
    Mutant(
        "value clip with min",
        _VALUE,
        "clipped_value_loss",
        "return jnp.maximum(",
        "return jnp.minimum(",
        helpers.check_clipped_value_loss_is_pessimistic,
    ),
    Mutant(
        "value clip about zero",
        _VALUE,
        "clipped_value_loss",
        "jnp.clip(value - old_value, -epsilon, epsilon)",
        "jnp.clip(value, -epsilon, epsilon)",
        helpers.check_clipped_value_loss,
    ),
    Mutant(
        "gradient leaks into the old value",
        _VALUE,
        "clipped_value_loss",
        "old_value = jax.lax.stop_gradient(old_value)",
        "pass",
        helpers.check_clipped_value_old_value_is_data,
    ),
    Mutant(
        "double Q roles swapped",
        _Q,
        "double_q_learning_error",
        "take_action(next_q, greedy_action(next_q_selector))",
        "take_action(next_q_selector, greedy_action(next_q))",
        helpers.check_double_q_loop,
    ),
    Mutant(
        "double Q forgets its selector",
        _Q,
        "double_q_learning_error",
        "greedy_action(next_q_selector)",
        "greedy_action(next_q)",
        helpers.check_double_q_loop,
    ),
    Mutant(
        "gradient leaks into the Q target",
        _BOOTSTRAP,
        "q_learning_error",
        "jax.lax.stop_gradient(one_step_target(reward, discount, next_value, transform)) - prediction",
        "one_step_target(reward, discount, next_value, transform) - prediction",
        helpers.check_q_learning_target_is_data,
        through=_Q,
    ),
    Mutant(
        "gradient leaks into the double Q target",
        _BOOTSTRAP,
        "double_q_learning_error",
        "jax.lax.stop_gradient(one_step_target(reward, discount, next_value, transform)) - prediction",
        "one_step_target(reward, discount, next_value, transform) - prediction",
        helpers.check_double_q_target_is_data,
        through=_Q,
    ),
    Mutant(
        "masked terminal state poisons",
        _BOOTSTRAP,
        "q_learning_error",
        "multiply_no_nan(next_value, discount)",
        "discount * next_value",
        helpers.check_q_learning_masked_terminal,
        through=_Q,
    ),
    Mutant(
        "mean of the next values for the best",
        _Q,
        "q_learning_error",
        "jnp.max(next_q, axis=-1)",
        "jnp.mean(next_q, axis=-1)",
        helpers.check_q_learning_loop,
    ),
    Mutant(
        "an action outside counts as zero",
        "bellmax._core._values",
        "take_action",
        "axis=-1), jnp.nan)",
        "axis=-1), 0.0)",
        helpers.check_take_action,
    ),
    Mutant(
        "epsilon spread over the other actions",
        _GREEDY,
        "epsilon_greedy",
        "(1 - epsilon) * greedy + epsilon * self._share",
        "(1 - epsilon) * greedy + epsilon / (q.shape[-1] - 1) * (1 - greedy)",
        helpers.check_epsilon_greedy_probs,
    ),
    Mutant(
        "ties to the first index",
        _GREEDY,
        "epsilon_greedy",
        "(q == best).astype(q.dtype)",
        "(jnp.arange(q.shape[-1]) == jnp.argmax(q, axis=-1, keepdims=True)).astype(q.dtype)",
        helpers.check_epsilon_greedy_probs,
    ),
    Mutant(
        "ties do not share",
        _GREEDY,
        "epsilon_greedy",
        "greedy = greedy / jnp.sum(greedy, axis=-1, keepdims=True)",
        "pass",
        helpers.check_epsilon_greedy_probs,
    ),
    Mutant(
        "samples beside the probabilities",
        _DISCRETE,
        "epsilon_greedy",
        "<= level[None]",
        "<= 1 - level[None] ** 2",
        helpers.check_epsilon_greedy_frequencies,
        through=_GREEDY,
    ),
    Mutant(
        "an impossible action can be drawn",
        _DISCRETE,
        "epsilon_greedy",
        "uniform * total[None]",
        "uniform * 1.001",
        helpers.check_epsilon_greedy_frequencies,
        through=_GREEDY,
    ),
    Mutant(
        "temperature multiplies",
        _BOLTZMANN,
        "boltzmann",
        "jnp.where(masked, 0, gap) / temperature",
        "jnp.where(masked, 0, gap) * temperature",
        helpers.check_boltzmann_probs,
    ),
    Mutant(
        "cold temperatures overflow",
        _BOLTZMANN,
        "boltzmann",
        "jnp.maximum(self._temperature, _COLDEST)",
        "jnp.maximum(self._temperature, 0.05)",
        helpers.check_boltzmann_cold,
    ),
    Mutant(
        "sign of the entropy",
        _DISCRETE,
        "categorical",
        "return -jnp.sum(multiply_no_nan(",
        "return jnp.sum(multiply_no_nan(",
        helpers.check_categorical_entropy,
        through=_CATEGORICAL,
    ),
    Mutant(
        "a forbidden action poisons the entropy",
        _DISCRETE,
        "categorical",
        "multiply_no_nan(self.logits, self.probs)",
        "self.logits * self.probs",
        helpers.check_categorical_entropy,
        through=_CATEGORICAL,
    ),
    Mutant(
        "logits are not normalised",
        _CATEGORICAL,
        "categorical",
        "jax.nn.log_softmax(at_least_float32(self.unnormalised_logits), axis=-1)",
        "at_least_float32(self.unnormalised_logits)",
        helpers.check_categorical_log_prob,
    ),
    Mutant(
        "samples are uniform",
        _DISCRETE,
        "categorical",
        "return _draw(probs,",
        "return _draw(jnp.ones_like(probs),",
        helpers.check_categorical_frequencies,
        through=_CATEGORICAL,
    ),
    Mutant(
        "logvar used as the log of the deviation",
        _GAUSSIAN,
        "gaussian",
        "jnp.exp(-0.5 * logvar)",
        "jnp.exp(-logvar)",
        helpers.check_gaussian_log_prob,
    ),
    Mutant(
        "samples take the variance for the deviation",
        _GAUSSIAN,
        "gaussian",
        "jnp.exp(0.5 * self._bounded_logvar)",
        "jnp.exp(self._bounded_logvar)",
        helpers.check_gaussian_moments,
    ),
    Mutant(
        "log-prob averaged over dimensions",
        _GAUSSIAN,
        "gaussian",
        "-0.5 * jnp.sum(jnp.square(scaled)",
        "-0.5 * jnp.mean(jnp.square(scaled)",
        helpers.check_gaussian_log_prob,
    ),
    Mutant(
        "entropy averaged over dimensions",
        _GAUSSIAN,
        "gaussian",
        "0.5 * jnp.sum(self._bounded_logvar",
        "0.5 * jnp.mean(self._bounded_logvar",
        helpers.check_gaussian_entropy,
    ),
    Mutant(
        "normalising constant missing",
        _GAUSSIAN,
        "gaussian",
        "+ logvar + _LOG_2_PI",
        "+ logvar",
        helpers.check_gaussian_log_prob,
    ),
    Mutant(
        "divergence the other way round",
        _GAUSSIAN,
        "gaussian",
        "jnp.expm1(gap) - gap + distance",
        "jnp.expm1(-gap) + gap + distance",
        helpers.check_gaussian_kl,
    ),
    Mutant(
        "distance in the wrong deviation",
        _GAUSSIAN,
        "gaussian",
        "jnp.exp(-0.5 * other_dist._bounded_logvar)",
        "jnp.exp(-0.5 * self._bounded_logvar)",
        helpers.check_gaussian_kl,
    ),
    # Core
    Mutant(
        "zero weight does not erase",
        _NUMERICS,
        "multiply_no_nan",
        "weight * jnp.where((weight == 0) & ~jnp.isfinite(x), 0, x)",
        "weight * x",
        helpers.check_multiply_no_nan,
    ),
    Mutant(
        "zero weight feels nothing",
        _NUMERICS,
        "multiply_no_nan",
        "(weight == 0) & ~jnp.isfinite(x)",
        "weight == 0",
        helpers.check_multiply_no_nan,
    ),
    Mutant(
        "NaN under the mask leaks",
        _REDUCE,
        "masked_mean",
        "weight * jnp.where(weight == 0, 0, wide)",
        "weight * wide",
        helpers.check_masked_mean,
    ),
    Mutant(
        "mean over the mask of one device",
        _REDUCE,
        "masked_mean",
        "pmean(jnp.sum(weight), axis_name)",
        "jnp.sum(weight)",
        helpers.check_masked_mean_across_devices,
    ),
    Mutant(
        "every device has the same lanes",
        _RANDOM,
        "lane_keys",
        "(key, first + which)",
        "(key, which)",
        helpers.check_lane_keys,
    ),
    Mutant(
        "the order is not random",
        _RANDOM,
        "random_order",
        "jax.random.bits(key, (length,), jnp.uint32) & ~low",
        "jax.random.bits(key, (length,), jnp.uint32) & jnp.uint32(0)",
        helpers.check_random_order,
    ),
    Mutant(
        "a NaN gradient moves the parameters",
        _GRADIENT,
        "gradient_step",
        "finite = jnp.isfinite(norm)",
        "finite = norm == norm",
        helpers.check_gradient_step_skips,
    ),
    Mutant(
        "a skipped step ages the optimiser",
        _GRADIENT,
        "gradient_step",
        "jnp.where(finite, new, old)",
        "new",
        helpers.check_gradient_step_skips,
    ),
]


def plant(mutant: Mutant, monkeypatch) -> Callable:
    """Returns the function under test with the fault in it."""
    module = changed(mutant.module, mutant.old, mutant.new)
    if mutant.through is not None:
        monkeypatch.setitem(sys.modules, mutant.module, module)
        module = execute(mutant.through, source_of(mutant.through))
    return getattr(module, mutant.function)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_fault_is_seen(mutant, monkeypatch):
    faulty = plant(mutant, monkeypatch)
    # Only a failed assertion counts: a fault that does not even run would show nothing.
    with pytest.raises(AssertionError):
        mutant.check(faulty)


def _checks():
    return sorted({(m.through or m.module, m.function, m.check.__name__) for m in MUTANTS})


@pytest.mark.parametrize(("module", "function", "check"), _checks(), ids=lambda name: name.rpartition(".")[2])
def test_the_check_passes_on_the_source(module, function, check):
    # Executed as the faults are, so that a failure there is the fault's and not the machinery's.
    getattr(helpers, check)(getattr(execute(module, source_of(module)), function))
