import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax
from scipy import stats

from bellmax.policies import add_dirichlet_noise, add_gaussian_noise, ornstein_uhlenbeck, target_policy_smoothing
from helpers import assert_close, float32, gradient, lenient

pytestmark = pytest.mark.slow

_N = 20_000
_gaussian_noise = jax.jit(lambda action, stddev, key: add_gaussian_noise(action, stddev, key=key))
_smooth = jax.jit(
    lambda action, key, stddev, clip, low, high: target_policy_smoothing(
        action, key=key, stddev=stddev, clip=clip, low=low, high=high
    )
)
_dirichlet = jax.jit(
    lambda probs, key, alpha, fraction: add_dirichlet_noise(probs, key=key, alpha=alpha, fraction=fraction)
)

ALL = {
    "add_gaussian_noise": lambda x, key: add_gaussian_noise(x, 0.3, key=key),
    "ornstein_uhlenbeck": lambda x, key: ornstein_uhlenbeck(x, key=key),
    "target_policy_smoothing": lambda x, key: target_policy_smoothing(x, key=key),
    "add_dirichlet_noise": lambda x, key: add_dirichlet_noise(x, key=key),
}
every = pytest.mark.parametrize("name", ALL)


# --- all -------------------------------------------------------------------------------------------------------------


@every
def test_the_same_key_gives_the_same_and_another_key_another(name, getkey):
    x, key, other = jnp.full((3, 4), 0.25), getkey(), getkey()
    noisy = jax.jit(ALL[name])
    np.testing.assert_array_equal(noisy(x, key), noisy(x, key))
    assert (np.asarray(noisy(x, key)) != np.asarray(noisy(x, other))).all()
    assert len(np.unique(np.asarray(noisy(x, key)))) == x.size


@every
def test_vmap_over_keys_equals_a_loop(name, getkey):
    x, keys = jnp.linspace(0, 0.5, 12).reshape(3, 4), jax.random.split(getkey(), 3)
    one = jax.jit(ALL[name])
    looped = np.stack([one(x[i], keys[i]) for i in range(3)])
    assert_close(jax.jit(jax.vmap(ALL[name]))(x, keys), looped, rtol=1e-6, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float64])
def test_type_in_is_type_out(name, dtype, getkey):
    key = getkey()
    with jax.enable_x64(dtype == jnp.float64):
        out = jax.eval_shape(ALL[name], jnp.full(4, 0.25, dtype), key)
        assert out.dtype == dtype
        assert out.shape == (4,)


@every
def test_knobs_may_be_traced(name, getkey):
    key, x = getkey(), jnp.full(4, 0.25)
    knobs = {
        "add_gaussian_noise": lambda knob: add_gaussian_noise(x, knob, key=key, low=-knob, high=knob),
        "ornstein_uhlenbeck": lambda knob: ornstein_uhlenbeck(x, key=key, theta=knob, sigma=knob, mu=knob),
        "target_policy_smoothing": lambda knob: target_policy_smoothing(x, key=key, stddev=knob, clip=knob, low=-knob),
        "add_dirichlet_noise": lambda knob: add_dirichlet_noise(x, key=key, alpha=knob, fraction=knob),
    }[name]
    assert_close(jax.jit(knobs)(0.3), knobs(0.3), rtol=1e-6, atol=1e-6)


# --- Gaussian --------------------------------------------------------------------------------------------------------


def test_gaussian_noise_has_its_deviation(getkey):
    action, stddev = float32(np.tile([1.0, -2.0], (_N, 1)), np.tile([0.5, 2.0], (_N, 1)))
    noise = np.asarray(_gaussian_noise(action, stddev, getkey()) - action)
    for i, sigma in enumerate((0.5, 2.0)):
        assert stats.kstest(noise[:, i], stats.norm(0, sigma).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / np.sqrt(_N)


def test_gaussian_noise_equals_rlax(getkey):
    action, key = jnp.array([0.5, -1.0, 2.0]), getkey()
    with lenient():
        assert_close(add_gaussian_noise(action, 0.3, key=key), rlax.add_gaussian_noise(key, action, 0.3), rtol=1e-6)


def test_gaussian_noise_is_clipped_to_bounds(getkey):
    action = jnp.tile(jnp.array([0.5, -1.0]), (200, 1))
    noisy = add_gaussian_noise(action, 5.0, key=getkey(), low=jnp.array([-1.0, -1.5]), high=1.0)
    assert (np.asarray(noisy).min(0) == [-1, -1.5]).all()
    assert (np.asarray(noisy).max(0) == [1, 1]).all()


def test_gradient_passes_gaussian_noise_to_the_action(getkey):
    key, action = getkey(), jnp.array([0.5, -1.0, 3.0])
    assert_close(gradient(lambda action: add_gaussian_noise(action, 0.3, key=key, high=2.0), action), [1, 1, 0])


# --- Ornstein and Uhlenbeck ------------------------------------------------------------------------------------------


def test_ornstein_uhlenbeck_by_hand():
    # 1 + ½(3 − 1) = 2 without noise; θ = 0 stays, θ = 1 is at the mean at once.
    for theta, expected in ((0.5, 2.0), (0.0, 1.0), (1.0, 3.0)):
        moved = ornstein_uhlenbeck(jnp.ones(2), key=jax.random.key(0), theta=theta, sigma=0.0, mu=3.0)
        assert_close(moved, [expected] * 2)


def test_ornstein_uhlenbeck_becomes_stationary(getkey):
    theta, sigma, mu = 0.3, 0.5, 2.0

    def step(noise, key):
        noise = ornstein_uhlenbeck(noise, key=key, theta=theta, sigma=sigma, mu=mu)
        return noise, noise

    keys = jax.random.split(getkey(), 40)
    _, steps = jax.jit(lambda keys: jax.lax.scan(step, jnp.zeros(_N), keys))(keys)
    steps = np.asarray(steps, np.float64)
    variance = sigma**2 / (1 - (1 - theta) ** 2)
    assert_close(steps[-1].mean(), mu, atol=5 * np.sqrt(variance / _N))
    assert_close(steps[-1].var(), variance, rtol=5 * np.sqrt(2 / _N))
    for lag in (1, 2, 5):
        assert_close(np.corrcoef(steps[-1], steps[-1 - lag])[0, 1], (1 - theta) ** lag, atol=5 / np.sqrt(_N))
    # From zero the mean nears μ as (1 − θ)^k.
    assert_close(steps[2].mean(), mu * (1 - (1 - theta) ** 3), atol=5 * np.sqrt(variance / _N))


def test_ornstein_uhlenbeck_keeps_the_state_that_rlax_adds_to_the_action(getkey):
    key, noise, action = getkey(), jnp.array([0.5, -1.0]), jnp.array([3.0, 4.0])
    ours = ornstein_uhlenbeck(noise, key=key, theta=0.15, sigma=0.2)
    with lenient():
        theirs = rlax.add_ornstein_uhlenbeck_noise(key, action, noise, 0.15, 0.2)
    assert_close(action + ours, theirs, rtol=1e-6)


# --- target policy smoothing -----------------------------------------------------------------------------------------


def test_smoothing_noise_is_clipped_and_scaled_to_the_range(getkey):
    # Bounds [−3, 7]: half the range is 5, so the deviation is 1 and the clip 2.5 around an action far from the bounds.
    action = jnp.full(_N, 2.0)
    noise = np.asarray(_smooth(action, getkey(), 0.2, 0.5, -3.0, 7.0)) - 2
    assert_close(abs(noise).max(), 2.5)
    clipped = stats.norm.sf(2.5)
    assert abs((noise >= 2.4999).mean() - clipped) < 5 * np.sqrt(clipped / _N)
    inner = noise[abs(noise) < 2.4]
    assert stats.kstest(inner, stats.truncnorm(-2.4, 2.4).cdf).pvalue > 1e-3


def test_smoothing_with_the_paper_s_numbers_on_the_paper_s_actions(getkey):
    action, key = float32(np.random.default_rng(0).uniform(-1, 1, 1000))[0], getkey()
    noise = np.clip(0.2 * np.asarray(jax.random.normal(key, (1000,)), np.float64), -0.5, 0.5)
    expected = np.clip(np.asarray(action, np.float64) + noise, -1, 1)
    assert_close(target_policy_smoothing(action, key=key), expected, atol=1e-6)


def test_smoothing_stays_inside_bounds_of_each_dimension(getkey):
    low, high = float32([-1.0, 0.0], [1.0, 0.1])
    action = jnp.tile(jnp.array([0.9, 0.05]), (1000, 1))
    smooth = np.asarray(_smooth(action, getkey(), 1.0, 2.0, low, high))
    assert (smooth >= np.asarray(low)).all()
    assert (smooth <= np.asarray(high)).all()
    assert_close(smooth.max(0), [1, 0.1])


# --- Dirichlet -------------------------------------------------------------------------------------------------------


def test_dirichlet_noise_equals_rlax(getkey):
    probs, key = float32(np.random.default_rng(0).dirichlet(np.ones(4), 3))[0], getkey()
    with lenient():
        theirs = rlax.add_dirichlet_noise(key, probs, 0.3, 0.25)
    assert_close(add_dirichlet_noise(probs, key=key, alpha=0.3, fraction=0.25), theirs)


@pytest.mark.parametrize("alpha", [0.03, 0.3, 5.0])
def test_dirichlet_noise_has_the_moments_of_its_mixture(alpha, getkey):
    prior, fraction = np.array([0.7, 0.2, 0.1, 0.0]), 0.25
    probs = np.asarray(_dirichlet(jnp.tile(jnp.asarray(prior, jnp.float32), (_N, 1)), getkey(), alpha, fraction))
    assert_close(probs.sum(-1), np.ones(_N))
    assert (probs >= 0).all()
    noise = stats.dirichlet(np.full(4, alpha))
    deviation = fraction * np.sqrt(noise.var())
    assert (abs(probs.mean(0) - (0.75 * prior + 0.25 * noise.mean())) < 5 * deviation / np.sqrt(_N)).all()
    assert_close(probs.std(0), deviation, rtol=0.05)


def test_dirichlet_noise_ends():
    probs, key = jnp.array([0.7, 0.2, 0.1]), jax.random.key(0)
    np.testing.assert_array_equal(add_dirichlet_noise(probs, key=key, fraction=0.0), probs)
    alone = add_dirichlet_noise(probs, key=key, fraction=1.0)
    assert_close(alone, add_dirichlet_noise(probs[::-1], key=key, fraction=1.0))


def test_dirichlet_noise_leaves_illegal_actions_alone(getkey):
    mask = jnp.array([True, False, True, True])
    probs = jnp.tile(jnp.array([0.5, 0.0, 0.3, 0.2]), (2000, 1))
    noisy = np.asarray(add_dirichlet_noise(probs, key=getkey(), fraction=0.5, mask=jnp.tile(mask, (2000, 1))))
    assert (noisy[:, 1] == 0).all()
    assert_close(noisy.sum(-1), np.ones(2000))
    assert_close(noisy.mean(0), 0.5 * np.array([0.5, 0, 0.3, 0.2]) + 0.5 * np.array([1, 0, 1, 1]) / 3, atol=0.03)


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, key: add_gaussian_noise(x, -0.1, key=key), "add_gaussian_noise: stddev must not be negative"),
        (lambda x, key: ornstein_uhlenbeck(x, key=key, theta=1.5), r"ornstein_uhlenbeck: theta must be in \[0, 1\]"),
        (lambda x, key: ornstein_uhlenbeck(x, key=key, sigma=-1.0), "ornstein_uhlenbeck: sigma must not be negative"),
        (lambda x, key: target_policy_smoothing(x, key=key, stddev=-1.0), "target_policy_smoothing: stddev must not"),
        (lambda x, key: target_policy_smoothing(x, key=key, clip=-1.0), "target_policy_smoothing: clip must not"),
        (lambda x, key: add_dirichlet_noise(x, key=key, alpha=0.0), "add_dirichlet_noise: alpha must be positive"),
        (lambda x, key: add_dirichlet_noise(x, key=key, fraction=1.1), r"add_dirichlet_noise: fraction must be in"),
    ],
)
def test_knobs_out_of_range_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.full(4, 0.25), jax.random.key(0))


def test_shapes_that_do_not_fit_are_refused_by_name():
    x, key = jnp.zeros((3, 4)), jax.random.key(0)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)add_gaussian_noise.*stddev"):
        add_gaussian_noise(x, jnp.ones(3), key=key)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)add_dirichlet_noise.*mask"):
        add_dirichlet_noise(x, key=key, mask=jnp.ones(3, bool))
