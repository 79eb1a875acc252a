"""The law of episode ends, for every return: cut by an end, a trajectory is its pieces apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.losses import masked_mean
from bellmax.returns import valid_mask
from cases import returns_basic, returns_off_policy, returns_trajectories
from conformance import as_arrays, caller, floats, numbers
from helpers import assert_close

pytestmark = pytest.mark.slow

CASES = {**returns_basic.CASES, **returns_off_policy.CASES, **returns_trajectories.CASES}
CASES = {name: case for name, case in CASES.items() if "rewards" in case.draw(np.random.default_rng(0), (1,))}
TRUNCATED = [name for name in CASES if name != "returns.discounted_returns"]
VALUES = ("rewards", "values", "next_values", "next_q")
END = 2
_jitted: dict = {}


def run(name, drawn):
    function = _jitted.setdefault(name, jax.jit(caller(CASES[name], CASES[name].function)))
    return jax.tree.leaves(function(as_arrays(drawn)))


def drawn_for(name, seed=0):
    drawn = CASES[name].draw(np.random.default_rng(seed), (2,))
    for end in ("discounts", "lambda_"):  # no end but those that a test makes
        if end in drawn:
            drawn[end] = np.where(drawn[end] == 0, 0.5, drawn[end])
    return {key: np.array(value) for key, value in drawn.items()}


def piece(drawn, part):
    return {key: value[part] if key != "bootstrap_value" else value for key, value in drawn.items()}


def pieces_apart(name, first, second):
    return [np.concatenate(both) for both in zip(run(name, first), run(name, second), strict=True)]


@pytest.mark.parametrize("name", TRUNCATED)
def test_cut_at_a_truncation_is_the_pieces_apart(name):
    drawn = drawn_for(name)
    first, second = (
        piece(jax.tree.map(np.copy, drawn), part) for part in (slice(0, END + 1), slice(END + 1, 2 * END + 2))
    )
    first["lambda_"][END] = 1  # nothing comes after it, so its λ has no say
    drawn["lambda_"][END] = 0
    # No action was taken in the state where the episode was cut.
    if name != "returns.sarsa_lambda_returns" and "next_action" in drawn:
        drawn["next_action"][END] = -1
    for key in ("traces", "next_log_ratio"):
        if key in drawn:
            drawn[key][END] = np.nan
    for one, other in zip(run(name, drawn), pieces_apart(name, first, second), strict=True):
        assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("terminal", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("name", CASES)
def test_cut_at_a_termination_is_the_pieces_apart_whatever_the_terminal_value(name, terminal):
    drawn = drawn_for(name, seed=1)
    drawn["discounts"][END] = 0
    first, second = (
        piece(jax.tree.map(np.copy, drawn), part) for part in (slice(0, END + 1), slice(END + 1, 2 * END + 2))
    )
    for key in ("next_values", "next_q"):
        if key in drawn:
            drawn[key][END] = terminal
            first[key][END] = 123.0
    for one, other in zip(run(name, drawn), pieces_apart(name, first, second), strict=True):
        assert_close(one, other, rtol=1e-6, atol=1e-6)


def padded(drawn, end, filling, keys):
    """Ends an episode after the third step, and fills what follows."""
    drawn = jax.tree.map(np.copy, drawn)
    if end in drawn:
        drawn[end][END] = 0
    for key in keys:
        if key in drawn:
            drawn[key][END + 1 :] = -1 if np.issubdtype(drawn[key].dtype, np.integer) else filling
    return drawn


ENDS = [(name, end) for name in CASES for end in ("discounts", "lambda_") if end == "discounts" or name in TRUNCATED]


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_padding_behind_an_end_changes_nothing_before_it(name, end):
    drawn = drawn_for(name)
    everything = [key for key in drawn if key != "bootstrap_value"]
    clean = run(name, padded(drawn, end, 0.0, []))
    for filling in (np.nan, np.inf, -np.inf):
        for one, other in zip(run(name, padded(drawn, end, filling, everything)), clean, strict=True):
            np.testing.assert_array_equal(one[: END + 1], other[: END + 1])


MASK = valid_mask(jnp.zeros((2 * END + 2, 2), bool).at[END].set(True), jnp.zeros((2 * END + 2, 2), bool))


def slopes(name, drawn):
    """Gradients of the masked mean of a return through everything that is a value or a reward."""
    case = CASES[name]

    @jax.jit
    def gradients(arguments):
        def loss(chosen):
            found = numbers(caller(case, case.function)({**arguments, **chosen}))
            return sum(masked_mean(each, MASK) for each in found)

        return jax.grad(loss)({key: arguments[key] for key in floats(arguments) if key in VALUES})

    return _jitted.setdefault(f"gradient of {name}", gradients)(as_arrays(drawn))


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_gradients_of_a_masked_mean_are_those_without_padding(name, end):
    drawn = drawn_for(name)
    clean = slopes(name, padded(drawn, end, 0.0, VALUES))
    for filling in (np.nan, np.inf):
        found = slopes(name, padded(drawn, end, filling, VALUES))
        for key, slope in found.items():
            assert np.isfinite(slope).all(), key
            assert_close(slope, clean[key], rtol=1e-6, atol=1e-6)
