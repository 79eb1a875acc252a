"""Cases of distributions over fixed atoms and of quantiles."""

import numpy as np
from scipy import stats

from bellmax.distributional import (
    categorical_mean,
    categorical_projection,
    cosine_embedding,
    hl_gauss,
    pool_quantiles,
    quantile_fractions,
    quantile_mean,
    two_hot,
)
from cases import Case

EVEN = np.linspace(-2, 2, 5)
UNEVEN = np.array([-3.0, -1.0, -0.5, 0.25, 2.0, 4.0])


def drawn_probs(rng, shape):
    """Probabilities, some of them exactly zero."""
    weights = rng.uniform(0.1, 1, shape) * (rng.uniform(size=shape) < 0.8)
    weights[..., 0] += 0.1
    return weights / weights.sum(-1, keepdims=True)


def rows(*arrays):
    """Yields the rows along the last axes, one example after the other."""
    batch = arrays[0].shape[:-1]
    for index in np.ndindex(*batch):
        yield index, *(array[index] for array in arrays)


def projection_loop(atoms, probs, support):
    """Every hat function of the support, at every atom: what linear interpolation gives of the identity's rows."""
    atoms, probs, support = (np.asarray(x, np.float64) for x in (atoms, probs, support))
    out = np.zeros((*atoms.shape[:-1], len(support)))
    for index, z, p in rows(atoms, probs):
        for j in range(len(support)):
            hat = np.eye(len(support))[j]
            out[index][j] = sum(p[i] * np.interp(z[i], support, hat) for i in range(len(z)) if p[i] != 0)
    return out


def two_hot_loop(x, support):
    x = np.asarray(x, np.float64)
    return projection_loop(x[..., None], np.ones((*x.shape, 1)), support)


def hl_gauss_loop(x, support, sigma=0.75):
    x, support = np.asarray(x, np.float64), np.asarray(support, np.float64)
    width = np.diff(support).mean()
    edges = np.array(
        [
            support[0] - np.diff(support)[0] / 2,
            *(support[1:] + support[:-1]) / 2,
            support[-1] + np.diff(support)[-1] / 2,
        ]
    )
    out = np.zeros((*x.shape, len(support)))
    for index in np.ndindex(*x.shape):
        normal = stats.norm(np.clip(x[index], support[0], support[-1]), float(sigma) * width)
        total = normal.cdf(edges[-1]) - normal.cdf(edges[0])
        for i in range(len(support)):
            out[index][i] = (normal.cdf(edges[i + 1]) - normal.cdf(edges[i])) / total
    return out


def quantile_fractions_loop(logits):
    logits = np.asarray(logits, np.float64)
    n = logits.shape[-1]
    edges, midpoints = np.zeros((*logits.shape[:-1], n + 1)), np.zeros(logits.shape)
    entropy = np.zeros(logits.shape[:-1])
    for index, x in rows(logits):
        shares = [np.exp(each) / sum(np.exp(x)) for each in x]
        for i in range(n):
            edges[index][i + 1] = edges[index][i] + shares[i]
            midpoints[index][i] = edges[index][i] + shares[i] / 2
            entropy[index] -= shares[i] * np.log(shares[i])
    return [edges, midpoints, entropy]


def pool_loop(quantiles, drop_per_member):
    """Takes the smallest out of what is left, one after the other."""
    members, *batch, n = quantiles.shape
    out = np.zeros((*batch, members * (n - drop_per_member)))
    for index in np.ndindex(*batch):
        left = [quantiles[(m, *index, i)] for m in range(members) for i in range(n)]
        for k in range(out.shape[-1]):
            out[index][k] = min(left)
            left.remove(min(left))
    return out


def _draw_projection(support):
    def draw(rng, batch):
        return {
            "atoms": rng.normal(0, 2.5, (*batch, 4)),
            "probs": drawn_probs(rng, (*batch, 4)),
            "support": support,
        }

    return draw


def _draw_encoded(support):
    return lambda rng, batch: {"x": rng.uniform(-2.5, 2.5, batch), "support": support}


def _projected_edges(support):
    return (
        {"atoms": support[0]},
        {"atoms": support[1]},
        {"atoms": support[-1]},
        {"atoms": np.inf},
        {"atoms": -np.inf},
        {"probs": 0.0},
        {"probs": 0.0, "atoms": np.nan},
    )


def _encoded_edges(support):
    return tuple({"x": x} for x in (support[0], support[1], support[-1], -1e30, 1e30, np.inf))


def _fractions_edges():
    return ({"logits": 0.0}, {"logits": [0.0, -np.inf, 1.0, -np.inf]}, {"logits": [100.0, 0.0, -100.0, 0.0]})


CASES = {
    "distributional.categorical_projection: even": Case(
        categorical_projection,
        _draw_projection(EVEN),
        projection_loop,
        axes={"support": None},
        edges=_projected_edges(EVEN),
        faults=(
            ("(1 - share) * masses", "masses"),
            ("(last + 1) / (atoms[-1]", "last / (atoms[-1]"),
            ("jnp.where(jnp.isnan(atoms) & (masses == 0), support[0], atoms)", "atoms"),
        ),
    ),
    "distributional.categorical_projection: uneven": Case(
        categorical_projection,
        _draw_projection(UNEVEN),
        projection_loop,
        axes={"support": None},
        edges=_projected_edges(UNEVEN),
        faults=(
            ("x = jnp.clip(x, support[0], support[-1])", "x = x"),
            ("jnp.where(x >= padded", "jnp.where(x < padded"),
            ("is_even = jnp.all(", "is_even = jnp.any("),
        ),
    ),
    "distributional.categorical_projection: shared atoms": Case(
        categorical_projection,
        lambda rng, batch: {**_draw_projection(EVEN)(rng, batch), "atoms": rng.normal(0, 2.5, 4)},
        lambda atoms, probs, support: projection_loop(np.broadcast_to(atoms, probs.shape), probs, support),
        axes={"atoms": None, "support": None},
    ),
    "distributional.two_hot: even": Case(
        two_hot,
        _draw_encoded(EVEN),
        two_hot_loop,
        axes={"support": None},
        edges=_encoded_edges(EVEN),
        faults=(("1 - share", "share"),),
    ),
    "distributional.two_hot: uneven": Case(
        two_hot,
        _draw_encoded(UNEVEN),
        two_hot_loop,
        axes={"support": None},
        edges=_encoded_edges(UNEVEN),
        faults=(("place == bins + 1, share", "place == bins + 2, share"),),
    ),
    "distributional.hl_gauss: even": Case(
        hl_gauss,
        _draw_encoded(EVEN),
        hl_gauss_loop,
        axes={"support": None},
        edges=_encoded_edges(EVEN),
        faults=(
            ("1.5 * support[0] - 0.5", "2 * support[0] - 1"),
            ("masses / jnp.sum(masses, axis=-1, keepdims=True)", "masses / 2"),
        ),
    ),
    "distributional.hl_gauss: uneven": Case(
        hl_gauss,
        _draw_encoded(UNEVEN),
        hl_gauss_loop,
        static={"sigma": 0.5},
        axes={"support": None},
        edges=_encoded_edges(UNEVEN),
        faults=(("jnp.clip(x, support[0], support[-1])", "x"),),
    ),
    "distributional.categorical_mean": Case(
        categorical_mean,
        lambda rng, batch: {"probs": drawn_probs(rng, (*batch, 5)), "atoms": UNEVEN[:5]},
        lambda probs, atoms: sum(probs[..., i] * atoms[i] for i in range(5)),
        axes={"atoms": None},
        edges=({"probs": 0.0, "atoms": np.inf}, {"atoms": 1e30}),
        faults=(
            (
                "multiply_no_nan(jnp.broadcast_to(atoms, probs.shape), probs)",
                "jnp.broadcast_to(atoms, probs.shape) * probs",
            ),
            ("0.5 * jnp", "jnp"),
        ),
    ),
    "distributional.categorical_mean: own atoms": Case(
        categorical_mean,
        lambda rng, batch: {"probs": drawn_probs(rng, (*batch, 4)), "atoms": rng.normal(size=(*batch, 4))},
        lambda probs, atoms: sum(probs[..., i] * atoms[..., i] for i in range(4)),
    ),
    "distributional.quantile_mean": Case(
        quantile_mean,
        lambda rng, batch: {"quantiles": rng.normal(size=(*batch, 4))},
        lambda quantiles: sum(quantiles[..., i] for i in range(4)) / 4,
    ),
    "distributional.quantile_mean: edges": Case(
        quantile_mean,
        lambda rng, batch: {
            "quantiles": rng.normal(size=(*batch, 4)),
            "edges": quantile_fractions_loop(rng.normal(size=(*batch, 4)))[0],
        },
        lambda quantiles, edges: sum(quantiles[..., i] * (edges[..., i + 1] - edges[..., i]) for i in range(4)),
        edges=({"edges": [0, 0, 0.5, 1, 1], "quantiles": [-np.inf, 1, 2, np.inf]},),
        faults=(
            ("multiply_no_nan(quantiles, jnp.diff(edges, axis=-1))", "quantiles * jnp.diff(edges, axis=-1)"),
            ("jnp.diff(edges, axis=-1)", "edges[..., 1:]"),
        ),
    ),
    "distributional.quantile_fractions": Case(
        quantile_fractions,
        lambda rng, batch: {"logits": rng.normal(size=(*batch, 4))},
        quantile_fractions_loop,
        wide=True,
        edges=_fractions_edges(),
        faults=(
            ("entropy = -", "entropy = "),
            ("0.5 * (edges[..., 1:] + edges[..., :-1])", "edges[..., 1:]"),
            ("multiply_no_nan(log_shares, shares)", "log_shares * shares"),
        ),
    ),
    "distributional.cosine_embedding": Case(
        cosine_embedding,
        lambda rng, batch: {"fractions": rng.uniform(size=batch)},
        lambda fractions, size: np.stack([np.cos(np.pi * i * fractions) for i in range(size)], -1),
        static={"size": 6},
        edges=({"fractions": 0.0}, {"fractions": 1.0}),
        faults=(("jnp.arange(size, dtype=fractions.dtype)", "(1 + jnp.arange(size, dtype=fractions.dtype))"),),
    ),
    "distributional.pool_quantiles": Case(
        pool_quantiles,
        lambda rng, batch: {"quantiles": rng.normal(size=(3, *batch, 4))},
        pool_loop,
        static={"drop_per_member": 1},
        axis=1,
        out=0,
        edges=({"quantiles": 0.0},),
        faults=(
            ("jnp.sort(pooled, axis=-1)", "-jnp.sort(-pooled, axis=-1)"),
            ("jnp.moveaxis(quantiles, 0, -1)", "quantiles"),
        ),
    ),
}

EXEMPT = {
    "distributional.linear_support": "takes no arrays: tests/distributional/test_support.py",
    "distributional.symexp_support": "takes no arrays: tests/distributional/test_support.py",
    "distributional.quantile_midpoints": "takes no arrays: tests/distributional/test_support.py",
    "distributional.two_hot_transform": "returns functions: tests/distributional/test_two_hot.py",
}
