import math

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from bellmax.policies import random_policy
from helpers import assert_close, assert_frequencies

pytestmark = pytest.mark.slow

_INFINITY = np.inf
_MIXED = spaces.Box(
    np.array([-1.0, 0.0, -_INFINITY, -_INFINITY], np.float32), np.array([3.0, _INFINITY, 2.0, _INFINITY], np.float32)
)
_draw = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=5000))
SPACES = {
    "discrete": spaces.Discrete(5),
    "discrete from −2": spaces.Discrete(3, start=-2),
    "multi-discrete": spaces.MultiDiscrete([2, 5]),
    "multi-discrete of two axes from 1": spaces.MultiDiscrete([[2, 5], [1, 3]], start=[[1, 1], [1, 1]]),
    "multi-binary": spaces.MultiBinary(4),
    "multi-binary of two axes": spaces.MultiBinary((2, 3)),
    "box": spaces.Box(-1, 3, (2,)),
    "box of no axes": spaces.Box(-1, 3, ()),
    "box of two axes": spaces.Box(0, 1, (2, 3)),
    "box in float64": spaces.Box(-0.1, 0.1, (2,), np.float64),
    "box in float16": spaces.Box(-0.1, 0.1, (2,), np.float16),
    "largest box": spaces.Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (2,)),
    "box with bounds of every kind": _MIXED,
    "bytes": spaces.Box(0, 255, (2,), np.uint8),
    "whole numbers": spaces.Box(-3, 4, (2,), np.int64),
    "all of int32": spaces.Box(-(2**31), 2**31 - 1, (2,), np.int32),
    "whole numbers with bounds missing": spaces.Box(
        np.array([-2, -_INFINITY, -_INFINITY]), np.array([_INFINITY, 3, _INFINITY]), dtype=np.int32
    ),
    "truths": spaces.Box(0, 1, (2,), bool),
    "tree": spaces.Dict(gear=spaces.Discrete(3), both=spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.MultiBinary(2)))),
}
every = pytest.mark.parametrize("name", SPACES)


@every
def test_samples_are_in_the_space_with_a_finite_density(name):
    space = SPACES[name]
    pi = random_policy(space)
    assert isinstance(pi, distrax.Distribution)
    assert pi.batch_shape == ()
    actions, log_probs = _draw(pi, jax.random.key(0))
    assert log_probs.shape == (5000,)
    assert np.isfinite(log_probs).all()
    actions = jax.tree.map(np.asarray, actions)
    for i in range(0, 5000, 10):
        assert space.contains(jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), actions))
    assert space.contains(jax.tree.map(np.asarray, pi.mode()))
    # The density of what is uniform is the same everywhere, and its negative is the entropy.
    if not name.endswith(("every kind", "missing")):
        assert_close(log_probs, np.full(5000, log_probs[0]), atol=1e-6)
        assert_close(pi.entropy(), -log_probs[0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("discrete", -math.log(5)),
        ("discrete from −2", -math.log(3)),
        ("multi-discrete", -math.log(10)),
        ("multi-discrete of two axes from 1", -math.log(2 * 5 * 3)),
        ("multi-binary of two axes", -6 * math.log(2)),
        ("box", -2 * math.log(4)),
        ("box of no axes", -math.log(4)),
        ("bytes", -2 * math.log(256)),
        ("whole numbers", -2 * math.log(8)),
        ("all of int32", -2 * 32 * math.log(2)),
        ("largest box", -2 * (math.log(2) + math.log(float(np.finfo(np.float32).max)))),
        ("tree", -math.log(3) - 2 * math.log(2) - 2 * math.log(2)),
    ],
)
def test_the_density_by_hand(name, expected):
    pi = random_policy(SPACES[name])
    assert_close(pi.log_prob(pi.mode()), expected)


def test_each_kind_of_interval_has_its_density_and_is_drawn_from_it():
    pi = random_policy(_MIXED)
    parts = [stats.uniform(-1, 4), stats.expon(0), stats.expon(-2), stats.norm()]  # the third is mirrored
    sign = np.array([1, 1, -1, 1])
    actions, log_probs = _draw(pi, jax.random.key(1))
    mirrored = np.asarray(actions, np.float64) * sign
    assert_close(log_probs, sum(part.logpdf(mirrored[:, i]) for i, part in enumerate(parts)))
    for i, part in enumerate(parts):
        assert stats.kstest(mirrored[:, i], part.cdf).pvalue > 1e-3
    assert_close(pi.entropy(), sum(part.entropy() for part in parts))
    theirs = np.stack([_MIXED.sample() for _ in range(2000)]) * sign
    for i in range(4):
        assert stats.ks_2samp(mirrored[:, i], theirs[:, i]).pvalue > 1e-4


def test_whole_numbers_with_bounds_missing_are_rounded_down_exponentials_and_normals():
    pi = random_policy(SPACES["whole numbers with bounds missing"])
    actions, log_probs = _draw(pi, jax.random.key(2))
    steps = np.stack([actions[:, 0] + 2, 3 - actions[:, 1]])
    k = np.arange(-40, 40)
    geometric, normal = stats.geom(1 - np.exp(-1), loc=-1), stats.norm.cdf(k + 1.0) - stats.norm.cdf(k)
    expected = geometric.logpmf(steps).sum(0) + np.log(normal[np.asarray(actions[:, 2]) + 40])
    assert_close(log_probs, expected)
    for row in steps:
        assert_frequencies(np.minimum(row, 4), [*geometric.pmf(range(4)), geometric.sf(3)])
    assert_frequencies(np.clip(actions[:, 2], -3, 2) + 3, [*np.cumsum(normal)[[37]], *normal[38:42], normal[42:].sum()])
    assert_close(pi.entropy(), 2 * geometric.entropy() + stats.entropy(normal))
    # Far out, too: the logarithm of Φ(−20) − Φ(−21), and of Φ(21) − Φ(20), which in float64 is zero.
    far = pi.log_prob(jnp.array([[-2, 3, -21], [-2, 3, 20]])) - pi.log_prob(jnp.array([-2, 3, 0])) + np.log(normal[40])
    assert_close(far, np.full(2, stats.norm.logcdf(-20)), rtol=1e-4)


def test_every_value_is_as_likely():
    for name, values in (("discrete from −2", 3), ("bytes", 256), ("whole numbers", 8)):
        actions = np.asarray(_draw(random_policy(SPACES[name]), jax.random.key(0))[0])
        low = {"discrete from −2": -2, "bytes": 0, "whole numbers": -3}[name]
        assert_frequencies(actions.astype(int) - low, np.full(values, 1 / values))
    halves = np.asarray(_draw(random_policy(SPACES["all of int32"]), jax.random.key(0))[0])
    assert_frequencies((halves.ravel().astype(np.int64) + 2**31) >> 29, np.full(8, 1 / 8))


def test_outside_the_space_there_is_no_density():
    assert_close(random_policy(spaces.Discrete(3, start=1)).log_prob(jnp.array([0, 4])), [-np.inf, -np.inf])
    assert_close(random_policy(SPACES["bytes"]).log_prob(jnp.array([[0, 300], [-1, 0]])), [-np.inf, -np.inf])
    assert_close(random_policy(spaces.Box(-1, 1, (1,))).log_prob(jnp.array([[1.5], [-1.5]])), [-np.inf, -np.inf])
    outside = jnp.array([[0.0, -0.1, 0.0, 0.0], [0.0, 0.0, 2.1, 0.0]])
    assert_close(random_policy(_MIXED).log_prob(outside), [-np.inf, -np.inf])


def test_an_action_that_the_type_of_the_space_cannot_hold_is_outside():
    unsigned = random_policy(spaces.Box(0, 2**32 - 1, (1,), np.uint32))
    assert_close(unsigned.log_prob(jnp.array([[-1], [5]])), [-np.inf, -32 * np.log(2)])
    signed = random_policy(spaces.Box(-(2**31), 2**31 - 1, (1,), np.int32))
    assert_close(signed.log_prob(jnp.array([[2**32 - 1], [5]], jnp.uint32)), [-np.inf, -32 * np.log(2)])


@every
def test_divergence_to_the_same_space_is_zero(name):
    pi = random_policy(SPACES[name])
    assert_close(pi.kl_divergence(random_policy(SPACES[name])), 0, atol=1e-6)


def test_divergence_between_spaces():
    narrow, wide = (random_policy(spaces.Box(-end, end, (2,))) for end in (1, 2))
    assert_close(narrow.kl_divergence(wide), 2 * np.log(2))
    assert_close(wide.kl_divergence(narrow), np.inf)
    point = random_policy(spaces.Box(1, 1, (2,)))
    assert_close(point.kl_divergence(wide), np.inf)
    half = random_policy(spaces.Box(0, np.inf, (2,)))
    with pytest.raises(ValueError, match="where a bound is missing a divergence is known to the same space only"):
        half.kl_divergence(narrow)
    assert np.isnan(jax.jit(lambda pi, other: pi.kl_divergence(other))(half, narrow))
    with pytest.raises(TypeError, match="a divergence is between spaces of one type; got float32 and int32"):
        narrow.kl_divergence(random_policy(spaces.Box(-1, 1, (2,), np.int32)))


def test_what_counts_from_zero_is_uniform():
    pi = random_policy(spaces.Discrete(4))
    assert isinstance(pi, distrax.Categorical)
    assert_close(pi.probs, np.full(4, 0.25))


def test_a_dimension_without_width_is_sure():
    pi = random_policy(spaces.Box(np.array([1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32)))
    action = pi.sample(seed=jax.random.key(0))
    assert action[0] == 1
    assert_close(pi.log_prob(action), -np.log(2))
    assert_close(pi.entropy(), np.log(2))


def test_passes_the_transforms():
    pi = random_policy(SPACES["tree"])
    actions = jax.tree.map(lambda leaf: leaf[:3], _draw(pi, jax.random.key(0))[0])
    log_prob = jax.jit(lambda pi, actions: pi.log_prob(actions))
    stacked = jax.vmap(lambda _: pi)(jnp.arange(3))
    assert stacked.batch_shape == (3,)
    assert_close(log_prob(stacked, actions), log_prob(pi, actions))
    assert_close(log_prob(stacked[1], jax.tree.map(lambda leaf: leaf[1], actions)), log_prob(pi, actions)[1])
    carried, _ = jax.lax.scan(lambda pi, _: (pi, None), pi, length=2)
    assert jax.tree.structure(carried) == jax.tree.structure(pi)


def test_in_64_bits():
    with jax.enable_x64(True):
        for space in (spaces.Box(-0.1, 0.1, (2,), np.float64), spaces.Box(-(2**62), 2**62, (2,), np.int64)):
            pi = random_policy(space)
            action = jax.tree.map(lambda leaf: leaf[0], _draw(pi, jax.random.key(0))[0])
            assert action.dtype == space.dtype
            assert space.contains(np.asarray(action))
            assert_close(pi.log_prob(action), -2 * np.log(space.high.astype(float) - space.low)[0], rtol=1e-9)


def test_mistakes_are_named():
    with pytest.raises(TypeError, match=r"random_policy: the space must be a Discrete, MultiDiscrete, .*; got Text"):
        random_policy(spaces.Text(5))
    with pytest.raises(ValueError, match=r"random_policy: the bounds must fit int32; got .*: set jax_enable_x64"):
        random_policy(spaces.Box(0, 2**40, (2,), np.int64))
    pi = random_policy(spaces.MultiDiscrete([2, 3]))
    with pytest.raises(TypeError, match="must be integer or boolean"):
        pi.log_prob(jnp.zeros(2))
    with pytest.raises(TypeError, match="actions must have shape"):
        pi.log_prob(jnp.zeros(3, jnp.int32))
