"""Cases of maximum a posteriori policy optimisation."""

import math

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_policy import numbers


def _columns(function):
    """Makes an oracle of a function of one state's samples."""

    def oracle(**kwargs):
        arrays = {name: x for name, x in kwargs.items() if isinstance(x, np.ndarray) and x.ndim}
        rest = {name: x for name, x in kwargs.items() if name not in arrays}
        shape = next(iter(arrays.values())).shape[1:]
        rows = [
            function(**{n: x[(slice(None), *i)].tolist() for n, x in arrays.items()}, **rest) for i in np.ndindex(shape)
        ]
        out = np.array(rows)
        return out.reshape(shape) if out.ndim == 1 else np.moveaxis(out.reshape(*shape, -1), -1, 0)

    return oracle


def _weights(q, temperature):
    total = sum(math.exp(x / temperature) for x in q)
    return [math.exp(x / temperature) / total for x in q]


def _temperature(q, temperature, epsilon):
    return temperature * (epsilon + math.log(sum(math.exp(x / temperature) for x in q) / len(q)))


def _policy(log_prob, weights):
    return -sum(w * x for w, x in zip(weights, log_prob, strict=True))


def _draw_q(rng, batch):
    return {"q": rng.normal(size=(5, *batch)), "temperature": rng.uniform(0.3, 2)}


def _draw_policy(rng, batch):
    return {
        "log_prob": rng.normal(size=(5, *batch)),
        "weights": rng.dirichlet(np.ones(5), batch).transpose(-1, *range(len(batch))),
    }


def _draw_penalty(rng, batch):
    return {"kl": rng.exponential(size=batch), "multiplier": rng.uniform(0.3, 2)}


def _draw_penalties(rng, batch):
    return {"kl": rng.exponential(size=batch), "multiplier": rng.uniform(0.3, 2, batch)}


def _penalty(kl, multiplier, epsilon):
    # α d + α (ε − d): the value is αε, whatever the divergence.
    return np.broadcast_to(multiplier * epsilon, kl.shape)


def _draw_vmpo(rng, batch):
    mask = rng.uniform(size=batch) < 0.7
    mask.flat[:2] = True
    return {**numbers("log_prob", "advantage")(rng, batch), "temperature": rng.uniform(0.3, 2), "mask": mask}


def _vmpo(log_prob, advantage, temperature, mask, epsilon, top_fraction=0.5):
    kept = [(float(advantage[i]), float(log_prob[i])) for i in np.ndindex(mask.shape) if mask[i]]
    best = sorted(kept, reverse=True)[: max(1, math.floor(top_fraction * len(kept)))]
    weights = [math.exp(a / temperature) for a, _ in best]
    policy = -sum(w * x for w, (_, x) in zip(weights, best, strict=True)) / sum(weights)
    return [policy, temperature * (epsilon + math.log(sum(weights) / len(best)))]


_KNOB = {"temperature": None}
_COLD = tuple({"temperature": x} for x in (1e-6, 1e-20, 1e-38, 0.0))

CASES = {
    "losses.mpo_weights": Case(
        losses.mpo_weights,
        _draw_q,
        _columns(_weights),
        learns=(),
        axis=1,
        axes=_KNOB,
        edges=(*_COLD, {"temperature": 1e6}, {"q": [[-np.inf], [0.0], [1.0], [2.0], [1e30]]}),
        faults=(
            ('positive(temperature, q, "mpo_weights', '1 / positive(temperature, q, "mpo_weights'),
            ("exponential_weights(q, positive", "exponential_weights(-q, positive"),
            ("weights / jnp.sum(weights, axis=0, keepdims=True)", "weights / jnp.sum(weights, axis=-1, keepdims=True)"),
        ),
    ),
    "losses.mpo_temperature_loss": Case(
        losses.mpo_temperature_loss,
        _draw_q,
        _columns(_temperature),
        learns=("temperature",),
        static={"epsilon": 0.1},
        axis=1,
        axes=_KNOB,
        out=0,
        edges=(
            *_COLD,
            {"temperature": 1e6},
            {"q": 1e10},
            {"q": [[-1e30], [0.0], [1.0], [2.0], [3.0]]},
            {"q": [[-np.inf], [0.0], [1.0], [2.0], [3.0]]},
            {"q": [[-np.inf], [0.0], [1.0], [2.0], [3.0]], "temperature": 1e-38},
        ),
        faults=(
            ("temperature, epsilon)", "temperature, -epsilon)"),
            ("exponential_weights(q, temperature,", "exponential_weights(q, 1 / temperature,"),
        ),
    ),
    "losses.mpo_policy_loss": Case(
        losses.mpo_policy_loss,
        _draw_policy,
        _columns(_policy),
        learns=("log_prob",),
        axis=1,
        out=0,
        edges=(
            {"log_prob": -100.0},
            {
                "log_prob": [[-np.inf], [-1.0], [-1.0], [-1.0], [-1.0]],
                "weights": [[0.0], [0.25], [0.25], [0.25], [0.25]],
            },
        ),
        faults=(
            ("return -expected_value", "return expected_value"),
            ("weights = jax.lax.stop_gradient(weights)", "pass"),
        ),
    ),
    "losses.kl_penalty_loss": Case(
        losses.kl_penalty_loss,
        _draw_penalty,
        _penalty,
        static={"epsilon": 0.2},
        axes={"multiplier": None},
        edges=({"kl": 0.0}, {"multiplier": 0.0}),
        faults=(
            ("epsilon - jax.lax.stop_gradient(kl)", "epsilon - kl"),
            ("multiplier * (epsilon - ", "-multiplier * (epsilon - "),
        ),
        # What is stopped in one term learns in the other.
        smooth=False,
    ),
    "losses.kl_penalty_loss: a multiplier each": Case(
        losses.kl_penalty_loss,
        _draw_penalties,
        _penalty,
        static={"epsilon": 0.2},
        smooth=False,
        broadcasts=("multiplier",),
    ),
    "losses.vmpo_loss": Case(
        losses.vmpo_loss,
        _draw_vmpo,
        _vmpo,
        learns=("log_prob", "temperature"),
        static={"epsilon": 0.1},
        axes=_KNOB,
        coupled=True,
        edges=(
            {"mask": False},
            {"advantage": 1e10},
            {"mask": [True, False, True], "advantage": [1.0, np.nan, -np.inf]},
            {"mask": [True, False, True], "log_prob": [-1.0, np.nan, -2.0]},
            *_COLD,
            {"temperature": 1e6},
        ),
        faults=(
            ("return VMPOLoss(-masked_mean", "return VMPOLoss(masked_mean"),
            ("valid & ~(ranked < descending[last])", "valid"),
            ("jnp.maximum(jnp.floor(fraction * count * nudge)", "jnp.maximum(jnp.ceil(fraction * count * nudge)"),
            ("mask=jnp.where(best, mask, 0)", "mask=mask"),
        ),
        # The weights depend on the temperature, and are data.
        smooth=False,
    ),
    "losses.vmpo_loss: the temperature": Case(
        losses.vmpo_loss,
        _draw_vmpo,
        lambda **arguments: _vmpo(**arguments)[1],
        learns=("temperature",),
        static={"epsilon": 0.1},
        axes=_KNOB,
        coupled=True,
        observe=lambda loss: loss.temperature,
        hides=("log_prob",),
    ),
    "losses.vmpo_loss: the best tenth": Case(
        losses.vmpo_loss,
        _draw_vmpo,
        _vmpo,
        learns=("log_prob", "temperature"),
        static={"epsilon": 0.1, "top_fraction": 0.1},
        axes=_KNOB,
        coupled=True,
    ),
}
