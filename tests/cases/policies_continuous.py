"""Cases of the policies over real actions. The oracles are scipy's densities and its adaptive quadrature."""

import jax
import numpy as np
from scipy import integrate, special, stats

from bellmax.policies import beta, deterministic, gaussian, squashed_gaussian, truncated_gaussian
from cases import Case


def _draw(rng, batch, dims=2):
    shape = (*batch, dims)
    low, width = rng.uniform(-2, -1, shape), rng.uniform(2, 3, shape)
    return {
        "mu": rng.normal(0, 0.7, shape),
        "logvar": rng.uniform(-2, 0.5, shape),
        "low": low,
        "high": low + width,
        "action": low + width * rng.uniform(0.15, 0.85, shape),
    }


def _draw_gaussian(rng, batch):
    drawn = _draw(rng, batch)
    return {name: drawn[name] for name in ("mu", "logvar", "action")}


def _draw_beta(rng, batch):
    drawn = _draw(rng, batch)
    alpha, beta = rng.uniform(0.5, 4, (2, *drawn["mu"].shape))
    return {"alpha": alpha, "beta": beta, **{name: drawn[name] for name in ("low", "high", "action")}}


def _other(pi):
    """Another distribution of the same kind, with the same bounds; halves are exact in any precision."""
    first, second, *bounds = jax.tree.leaves(pi)
    return jax.tree.unflatten(jax.tree.structure(pi), [0.5 * first, 0.5 * second, *bounds])


def _observe(pi, action):
    return pi.log_prob(action), pi.entropy(), pi.kl_divergence(_other(pi))


def _by_dimension(one_dimension):
    """Turns an oracle of one number each into one that loops over them and sums over dimensions."""

    def oracle(**arguments):
        names = [*arguments]
        out = np.vectorize(lambda *each: one_dimension(**dict(zip(names, each, strict=True))), otypes=[float] * 3)
        return [np.asarray(each).sum(-1) for each in out(*arguments.values())]

    return oracle


def _gaussian(mu, logvar, action):
    one, other = stats.norm(mu, np.exp(logvar / 2)), stats.norm(0.5 * mu, np.exp(0.25 * logvar))
    return one.logpdf(action), one.entropy(), _divergence(one, other, mu - 12 * one.std(), mu + 12 * one.std())


def _divergence(one, other, low, high):
    return integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)), low, high)[0]


def _squashed(mu, logvar, low, high, action):
    half = (high - low) / 2
    one, other = stats.norm(mu, np.exp(logvar / 2)), stats.norm(0.5 * mu, np.exp(0.25 * logvar))

    def log_slope(x):
        return np.log(half) - 2 * np.log(np.cosh(x))

    x = np.arctanh((action - (low + high) / 2) / half)
    ends = mu - 12 * one.std(), mu + 12 * one.std()
    entropy = integrate.quad(lambda x: one.pdf(x) * (log_slope(x) - one.logpdf(x)), *ends)[0]
    return one.logpdf(x) - log_slope(x), entropy, _divergence(one, other, *ends)


def _truncated(mu, logvar, low, high, action):
    def cut(mu, sigma):
        return stats.truncnorm((low - mu) / sigma, (high - mu) / sigma, mu, sigma)

    one, other = cut(mu, np.exp(logvar / 2)), cut(0.5 * mu, np.exp(0.25 * logvar))
    return one.logpdf(action), one.entropy(), _divergence(one, other, low, high)


def _beta(alpha, beta, low, high, action):
    one = stats.beta(alpha, beta, low, high - low)
    a, b = 0.5 * alpha, 0.5 * beta
    # E[log v] and E[log(1 - v)] under the first, in the definition of the divergence.
    logs = special.psi([alpha, beta]) - special.psi(alpha + beta)
    divergence = special.betaln(a, b) - special.betaln(alpha, beta) + np.array([alpha - a, beta - b]) @ logs
    return one.logpdf(action), one.entropy(), divergence


_FAR = ({"logvar": -1e4}, {"logvar": 1e4}, {"mu": 1e3}, {"mu": -1e3, "logvar": 3.0})
_BOUNDS = (
    {"low": -1.0, "high": 1.0, "action": 1.0},
    {"low": -1.0, "high": 1.0, "action": -1.0},
    {"low": 0.0, "high": 1.0, "action": 0.0},
    {"low": 99.0, "high": 101.0, "action": 101.0},
)

CASES = {
    "policies.gaussian": Case(
        gaussian,
        _draw_gaussian,
        _by_dimension(_gaussian),
        observe=_observe,
        observed=("action",),
        wide=True,
        edges=_FAR,
        faults=(
            ("-0.5 * jnp.sum(jnp.square(scaled)", "-0.5 * jnp.mean(jnp.square(scaled)"),
            ("jnp.exp(-0.5 * logvar)", "jnp.exp(-logvar)"),
            ("jnp.expm1(gap) - gap", "jnp.expm1(gap) + gap"),
        ),
    ),
    "policies.squashed_gaussian": Case(
        squashed_gaussian,
        _draw,
        _by_dimension(_squashed),
        observe=_observe,
        observed=("action",),
        broadcasts=("low", "high"),
        wide=True,
        edges=_FAR + _BOUNDS,
        faults=(
            ("+ jnp.log((high - low) / 2)", ""),
            ("jnp.clip(value, *inside(low, high))", "value"),
            ("self.base.entropy() + jnp.sum(log_det, axis=-1)", "self.base.entropy()"),
        ),
    ),
    "policies.truncated_gaussian": Case(
        truncated_gaussian,
        _draw,
        _by_dimension(_truncated),
        observe=_observe,
        observed=("action",),
        broadcasts=("low", "high"),
        wide=True,
        edges=({"logvar": -40.0}, {"logvar": 1e4}, {"mu": 1e3}, {"mu": -1e6, "logvar": -3.0}, *_BOUNDS),
        faults=(
            ("mass(below, -slope) + mass(above, slope)", "mass(below, -slope) + mass(above, 0 * slope)"),
            ("-offset * (slope + offset / 2)", "-offset * offset / 2"),
            (" + jnp.log(self._wide[1])", ""),
        ),
    ),
    "policies.beta": Case(
        beta,
        _draw_beta,
        _by_dimension(_beta),
        observe=_observe,
        observed=("action",),
        broadcasts=("low", "high"),
        wide=True,
        edges=({"alpha": 1.0, "beta": 1.0}, {"alpha": 1e-3}, {"alpha": 300.0, "beta": 1e-2}, *_BOUNDS),
        faults=(
            ("(jnp.log(up) - log_width)", "jnp.log(up)"),
            ("jnp.clip(value.astype(pi.dtype), *(jnp", "(lambda value, *_: value)(value.astype(pi.dtype), *(jnp"),
            ("(beta - other_beta) * (digamma_rest(beta) - both)", "(beta - other_beta) * digamma_rest(beta)"),
        ),
    ),
    "policies.deterministic": Case(
        deterministic,
        lambda rng, batch: {"action": rng.normal(size=(*batch, 2))},
        lambda action: [action, action, np.zeros(action.shape[:-1])],
        observe=lambda pi: (pi.mode(), pi.sample(seed=jax.random.key(0)), pi.log_prob(pi.mode()).astype(pi.dtype)),
        edges=({"action": 1e30},),
        faults=(
            ("jnp.broadcast_to(self.action[None], (n", "jnp.broadcast_to(0 * self.action[None], (n"),
            ("jnp.all(value == action", "jnp.all(value != action"),
        ),
    ),
}

_DRAWS = "draws random numbers: tests/policies/test_noise.py"
EXEMPT = {
    "policies.add_gaussian_noise": _DRAWS,
    "policies.ornstein_uhlenbeck": _DRAWS,
    "policies.target_policy_smoothing": _DRAWS,
    "policies.add_dirichlet_noise": _DRAWS,
}
