"""Cases of the losses of distributional values."""

import jax.numpy as jnp
import numpy as np

from bellmax._core import ValueTransform
from bellmax.losses import (
    categorical_double_q_learning_loss,
    categorical_q_learning_loss,
    categorical_td_loss,
    cross_entropy_loss,
    fqf_fraction_loss,
    hl_gauss_loss,
    quantile_expected_sarsa_loss,
    quantile_huber_loss,
    quantile_q_learning_loss,
    two_hot_loss,
)
from cases import Case
from cases.distributional import EVEN, UNEVEN, drawn_probs, hl_gauss_loop, projection_loop, rows, two_hot_loop
from helpers import softmax, times

DOUBLING = ValueTransform(lambda x: x**3 + 2 * x, lambda y: y)  # not inverse: shows which one is used where


def cross_entropy_loop(logits, target_probs):
    logits, target_probs = np.asarray(logits, np.float64), np.asarray(target_probs, np.float64)
    out = np.zeros(logits.shape[:-1])
    for index, x, p in rows(logits, target_probs):
        log_total = np.log(sum(np.exp(x)))
        out[index] = -sum(p[i] * (x[i] - log_total) for i in range(len(x)) if p[i] != 0)
    return out


def _transformed(reward, discount, values, transform):
    if transform is None:
        return reward + times(values, discount)
    return transform.apply(reward + times(transform.invert(values), discount))


def categorical_td_loop(logits, support, reward, discount, next_logits, transform=None):
    out = np.zeros(reward.shape)
    for index in np.ndindex(*reward.shape):
        moved = np.array([_transformed(reward[index], discount[index], z, transform) for z in support])
        target = projection_loop(moved, softmax(next_logits[index]), support)
        out[index] = cross_entropy_loop(logits[index], target)
    return out


def _greedy(values):
    """Index of the largest, the first among equals."""
    best = 0
    for a in range(len(values)):
        if values[a] > values[best]:
            best = a
    return best


def categorical_q_loop(logits, support, action, reward, discount, next_logits, next_q_selector=None, transform=None):
    out = np.zeros(reward.shape)
    for index in np.ndindex(*reward.shape):
        if next_q_selector is None:
            values = support if transform is None else transform.invert(support)
            q = [np.dot(softmax(each), values) for each in next_logits[index]]
        else:
            q = next_q_selector[index]
        out[index] = categorical_td_loop(
            logits[index][action[index]],
            support,
            reward[index],
            discount[index],
            next_logits[index][_greedy(q)],
            transform,
        )
    return out


def quantile_huber_loop(quantiles, fractions, targets, weights=None, kappa=1.0):
    """Pair by pair; `weights` are the probabilities of the targets."""
    quantiles, targets = np.asarray(quantiles, np.float64), np.asarray(targets, np.float64)
    fractions = np.broadcast_to(np.asarray(fractions, np.float64), quantiles.shape)
    weights = np.full(targets.shape, 1 / targets.shape[-1]) if weights is None else weights
    out = np.zeros(quantiles.shape[:-1])
    for index, q, tau, y, w in rows(quantiles, fractions, targets, weights):
        for i in range(len(q)):
            for j in range(len(y)):
                u = y[j] - q[i]
                if kappa == 0:
                    huber = abs(u)
                else:
                    huber = (u**2 / 2 if abs(u) <= kappa else kappa * (abs(u) - kappa / 2)) / kappa
                out[index] += w[j] * (tau[i] if u >= 0 else 1 - tau[i]) * huber
    return out


def quantile_q_loop(
    quantiles, fractions, action, reward, discount, next_quantiles, next_q_selector=None, kappa=1.0, transform=None
):
    out = np.zeros(reward.shape)
    fractions = np.broadcast_to(fractions, quantiles[..., 0, :].shape)
    for index in np.ndindex(*reward.shape):
        next_q = next_quantiles[index] if transform is None else transform.invert(next_quantiles[index])
        best = _greedy(next_q.mean(-1) if next_q_selector is None else next_q_selector[index])
        targets = _transformed(reward[index], discount[index], next_quantiles[index][best], transform)
        prediction = quantiles[index][action[index]]
        out[index] = quantile_huber_loop(prediction, fractions[index], targets, kappa=kappa)
    return out


def quantile_expected_sarsa_loop(
    quantiles, fractions, action, reward, discount, next_quantiles, next_probs, kappa=1.0, transform=None
):
    """Against the mixture: all atoms of all actions, each with its probability."""
    out = np.zeros(reward.shape)
    fractions = np.broadcast_to(fractions, quantiles[..., 0, :].shape)
    for index in np.ndindex(*reward.shape):
        atoms, weights = [], []
        for a, p in enumerate(next_probs[index]):
            for value in next_quantiles[index][a]:
                if p != 0:
                    atoms.append(_transformed(reward[index], discount[index], value, transform))
                    weights.append(p / next_quantiles.shape[-1])
        prediction = quantiles[index][action[index]]
        out[index] = quantile_huber_loop(prediction, fractions[index], np.array(atoms), np.array(weights), kappa)
    return out


def fqf_loop(fractions, quantiles_at_fractions, quantiles_at_midpoints):
    out = np.zeros(fractions.shape[:-1])
    for index, tau, edge, middle in rows(fractions, quantiles_at_fractions, quantiles_at_midpoints):
        for i in range(len(tau)):
            out[index] += tau[i] * ((edge[i] - middle[i]) + (edge[i] - middle[i + 1]))
    return out


def draw_ends(rng, batch):
    discount = np.where(rng.uniform(size=batch) < 0.2, 0.0, rng.uniform(0.5, 1, batch))
    return {"reward": rng.normal(size=batch), "discount": discount}


def _draw_td(rng, batch):
    logits, next_logits = rng.normal(size=(2, *batch, 5))
    return {"logits": logits, "support": EVEN, **draw_ends(rng, batch), "next_logits": next_logits}


def draw_categorical_q(rng, batch, support=UNEVEN, actions=3):
    logits, next_logits = rng.normal(size=(2, *batch, actions, len(support)))
    action = rng.integers(0, actions, batch).astype(np.int32)
    return {"logits": logits, "support": support, "action": action, **draw_ends(rng, batch), "next_logits": next_logits}


def _draw_categorical_double_q(rng, batch):
    selector = rng.normal(size=(*batch, 3))
    selector[..., 1] = np.where(selector[..., 1] < 0, -100.0, selector[..., 1])
    return {**draw_categorical_q(rng, batch, EVEN), "next_q_selector": selector}


def _draw_number(support):
    def draw(rng, batch):
        logits = rng.normal(size=(*batch, len(support)))
        return {"logits": logits, "support": support, "target": rng.normal(0, 2, batch)}

    return draw


def _draw_quantiles(shared):
    def draw(rng, batch):
        shape = (3,) if shared else (*batch, 3)
        return {
            "quantiles": rng.normal(size=(*batch, 3)),
            "fractions": np.sort(rng.uniform(size=shape), -1),
            "targets": rng.normal(size=(*batch, 4)),
        }

    return draw


def draw_quantile_q(rng, batch, shared=True):
    return {
        "quantiles": rng.normal(size=(*batch, 2, 3)),
        "fractions": np.sort(rng.uniform(size=(3,) if shared else (*batch, 3)), -1),
        "action": rng.integers(0, 2, batch).astype(np.int32),
        **draw_ends(rng, batch),
        "next_quantiles": rng.normal(size=(*batch, 2, 4)),
    }


def _draw_fqf(rng, batch):
    return {
        "fractions": np.sort(rng.uniform(size=(*batch, 3)), -1),
        "quantiles_at_fractions": rng.normal(size=(*batch, 3)),
        "quantiles_at_midpoints": rng.normal(size=(*batch, 4)),
    }


_DATA = {"discount": 0.0}
_SHARED = {"fractions": None}

CASES = {
    "losses.cross_entropy_loss": Case(
        cross_entropy_loss,
        lambda rng, batch: {"logits": rng.normal(size=(*batch, 4)), "target_probs": drawn_probs(rng, (*batch, 4))},
        cross_entropy_loop,
        learns=("logits",),
        wide=True,
        edges=(
            {"logits": [0.0, -np.inf, 1.0, -np.inf], "target_probs": [0.5, 0.0, 0.5, 0.0]},
            {"logits": [1e4, -1e4, 0.0, 0.0]},
            {"target_probs": 0.0},
        ),
        faults=(
            ("return -jnp.sum", "return jnp.sum"),
            ("jax.lax.stop_gradient(target_probs)", "target_probs"),
            ("multiply_no_nan(jax.nn.log_softmax(logits), target)", "jax.nn.log_softmax(logits) * target"),
        ),
    ),
    "losses.categorical_td_loss": Case(
        categorical_td_loss,
        _draw_td,
        categorical_td_loop,
        learns=("logits",),
        axes={"support": None},
        wide=True,
        edges=(
            {**_DATA, "next_logits": -np.inf},
            {**_DATA, "next_logits": np.nan},
            {"reward": 1e30},
            {"reward": -1e30},
            {"next_logits": [0.0, -np.inf, -np.inf, -np.inf, 200.0]},
        ),
        faults=(
            ("jnp.where(discount[..., None] == 0, 0, next_logits)", "next_logits"),
            (
                "one_step_target(reward[..., None], discount[..., None], values",
                "one_step_target(reward[..., None], 1, values",
            ),
        ),
    ),
    "losses.categorical_td_loss: transform": Case(
        categorical_td_loss,
        _draw_td,
        categorical_td_loop,
        learns=("logits",),
        static={"transform": ValueTransform(lambda x: x / 2 + 0.3, lambda y: 2 * y - 0.6)},
        axes={"support": None},
        wide=True,
        faults=(("values, transform)\n    # Without", "values, None)\n    # Without"),),
    ),
    "losses.categorical_q_learning_loss": Case(
        categorical_q_learning_loss,
        draw_categorical_q,
        categorical_q_loop,
        learns=("logits",),
        axes={"support": None},
        wide=True,
        edges=({**_DATA, "next_logits": -np.inf}, {**_DATA, "next_logits": np.nan}, {"reward": 1e30}),
        faults=(
            ("take_greedy(next_logits, next_q)", "take_greedy(next_logits, -next_q)"),
            ("categorical_mean(jax.nn.softmax(next_logits), inverted", "0 * next_logits[..., 0] + jnp.sum(inverted"),
        ),
    ),
    "losses.categorical_q_learning_loss: transform": Case(
        categorical_q_learning_loss,
        draw_categorical_q,
        categorical_q_loop,
        learns=("logits",),
        static={"transform": ValueTransform(lambda x: x / 10, lambda y: -jnp.exp(-y))},
        axes={"support": None},
        wide=True,
        faults=(("softmax(next_logits), inverted(support, transform))", "softmax(next_logits), support)"),),
    ),
    "losses.categorical_double_q_learning_loss": Case(
        categorical_double_q_learning_loss,
        _draw_categorical_double_q,
        categorical_q_loop,
        learns=("logits",),
        axes={"support": None},
        wide=True,
        edges=(
            {**_DATA, "next_logits": -np.inf, "next_q_selector": -np.inf},
            {"next_q_selector": [-np.inf, 0.0, -np.inf]},
        ),
        faults=(("take_greedy(next_logits, next_q_selector)", "take_greedy(next_logits, -next_q_selector)"),),
    ),
    "losses.two_hot_loss": Case(
        two_hot_loss,
        _draw_number(UNEVEN),
        lambda logits, support, target: cross_entropy_loop(logits, two_hot_loop(target, support)),
        learns=("logits",),
        axes={"support": None},
        wide=True,
        edges=({"target": 1e30}, {"target": -np.inf}),
        faults=(("two_hot(target, support))", "two_hot(-target, support))"),),
    ),
    "losses.hl_gauss_loss": Case(
        hl_gauss_loss,
        _draw_number(EVEN),
        lambda logits, support, target, sigma: cross_entropy_loop(logits, hl_gauss_loop(target, support, sigma)),
        learns=("logits",),
        static={"sigma": 0.6},
        axes={"support": None},
        wide=True,
        edges=({"target": 1e30}, {"target": -np.inf}),
        faults=(("support, sigma=sigma)", "support)"),),
    ),
    "losses.quantile_huber_loss: shared fractions": Case(
        quantile_huber_loss,
        _draw_quantiles(shared=True),
        quantile_huber_loop,
        learns=("quantiles",),
        axes=_SHARED,
        edges=({"quantiles": 0.0, "targets": 0.0}, {"targets": 1e18}, {"fractions": 0.0}, {"fractions": 1.0}),
        faults=(
            ("(error < 0)", "(error > 0)"),
            ("jax.lax.stop_gradient((_inside(function, fractions), targets))", "(fractions, targets)"),
            ("distance - 0.5 * kappa", "distance"),
        ),
    ),
    "losses.quantile_huber_loss: own fractions": Case(
        quantile_huber_loss,
        _draw_quantiles(shared=False),
        quantile_huber_loop,
        learns=("quantiles",),
        static={"kappa": 0.3},
        faults=(
            ("jnp.where(kappa > 0, kappa, 1)", "1"),
            (
                "jnp.sum(jnp.mean(costs, axis=-1), axis=-1)",
                "jnp.mean(jnp.sum(costs, axis=-1), axis=-1)",
            ),
        ),
    ),
    "losses.quantile_huber_loss: kappa 0": Case(
        quantile_huber_loss,
        _draw_quantiles(shared=True),
        quantile_huber_loop,
        learns=("quantiles",),
        static={"kappa": 0.0},
        axes=_SHARED,
        edges=({"quantiles": 0.0, "targets": 0.0}, {"targets": 1e30}),
        faults=(("jnp.where(kappa > 0, kappa, 1)", "kappa"),),
    ),
    "losses.quantile_q_learning_loss": Case(
        quantile_q_learning_loss,
        draw_quantile_q,
        quantile_q_loop,
        learns=("quantiles",),
        axes=_SHARED,
        edges=(
            {**_DATA, "next_quantiles": -np.inf},
            {**_DATA, "next_quantiles": np.nan},
            {"next_quantiles": [[-np.inf], [0.0]]},
        ),
        faults=(
            ("jnp.mean(values, axis=-1)", "jnp.min(values, axis=-1)"),
            (
                'take_distribution(quantiles, action)\n    return _regression("quantile_q',
                'quantiles[..., 0, :]\n    return _regression("quantile_q',
            ),
        ),
    ),
    "losses.quantile_q_learning_loss: selector, transform, own fractions": Case(
        quantile_q_learning_loss,
        lambda rng, batch: {
            **draw_quantile_q(rng, batch, shared=False),
            "next_q_selector": rng.normal(size=(*batch, 2)),
        },
        quantile_q_loop,
        learns=("quantiles",),
        static={"kappa": 0.5, "transform": DOUBLING},
        edges=({"next_q_selector": [-np.inf, 0.0], "next_quantiles": [[np.inf], [0.0]]},),
        faults=(("if next_q_selector is None else next_q_selector", ""),),
    ),
    "losses.quantile_q_learning_loss: transform": Case(
        quantile_q_learning_loss,
        draw_quantile_q,
        quantile_q_loop,
        learns=("quantiles",),
        static={"transform": ValueTransform(lambda x: x / 3, lambda y: y * y * y + y)},
        axes=_SHARED,
        faults=(("values = inverted(next_quantiles, transform)", "values = next_quantiles"),),
    ),
    "losses.quantile_expected_sarsa_loss": Case(
        quantile_expected_sarsa_loss,
        lambda rng, batch: {**draw_quantile_q(rng, batch), "next_probs": drawn_probs(rng, (*batch, 2))},
        quantile_expected_sarsa_loop,
        learns=("quantiles",),
        axes=_SHARED,
        edges=(
            {**_DATA, "next_quantiles": np.nan},
            {"next_probs": [0.0, 1.0], "next_quantiles": [[-np.inf], [0.0]]},
            {"next_probs": [0.0, 1.0], "next_quantiles": [[np.nan], [0.0]]},
        ),
        faults=(
            ("jax.lax.stop_gradient(next_probs)", "next_probs"),
            ("jnp.where(weights == 0, 0, inverted(next_quantiles, transform))", "inverted(next_quantiles, transform)"),
        ),
    ),
    "losses.quantile_expected_sarsa_loss: own fractions": Case(
        quantile_expected_sarsa_loss,
        lambda rng, batch: {**draw_quantile_q(rng, batch, shared=False), "next_probs": drawn_probs(rng, (*batch, 2))},
        quantile_expected_sarsa_loop,
        learns=("quantiles",),
        static={"kappa": 0.4, "transform": DOUBLING},
    ),
    "losses.fqf_fraction_loss": Case(
        fqf_fraction_loss,
        _draw_fqf,
        fqf_loop,
        learns=("fractions",),
        faults=(
            ("jax.lax.stop_gradient(slope)", "slope"),
            ("2 * quantiles_at_fractions", "quantiles_at_fractions"),
        ),
    ),
}
