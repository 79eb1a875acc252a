"""Cases of policy gradients, surrogates of proximal policy optimisation, entropies and divergences."""

import math

import numpy as np

from bellmax import losses
from cases import Case

FAR = (*({"log_ratio": x, "advantage": a} for x in (-100.0, 100.0, -np.inf, np.inf) for a in (-3.0, 0.0, 3.0)),)


def each(function):
    """Makes an oracle of a function of numbers: one call an example."""

    def oracle(*args, **kwargs):
        arrays = {name: x for name, x in kwargs.items() if isinstance(x, np.ndarray)}
        rest = {name: x for name, x in kwargs.items() if name not in arrays}
        shape = next(iter(arrays.values())).shape
        out = np.zeros(shape)
        for i in np.ndindex(shape):
            out[i] = function(**{name: float(x[i]) for name, x in arrays.items()}, **rest)
        return out

    return oracle


def rows(function):
    """Makes an oracle of a function of rows: one call an example, the last axis left."""

    def oracle(**kwargs):
        arrays = {name: x for name, x in kwargs.items() if isinstance(x, np.ndarray) and x.ndim}
        rest = {name: x for name, x in kwargs.items() if name not in arrays}
        shape = next(iter(arrays.values())).shape[:-1]
        out = np.zeros(shape)
        for i in np.ndindex(shape):
            out[i] = function(**{name: x[i].tolist() for name, x in arrays.items()}, **rest)
        return out

    return oracle


def numbers(*names):
    """Draws standard normal numbers."""

    def draw(rng, batch):
        return {name: rng.normal(size=batch) for name in names}

    return draw


def log_softmax(logits):
    finite = [x for x in logits if x > -math.inf]
    total = math.log(sum(math.exp(x) for x in finite))
    return [x - total for x in logits]


def draw_logits(*names, masked=True):
    def draw(rng, batch):
        drawn = {name: rng.normal(size=(*batch, 4)) for name in names}
        if masked:
            illegal = rng.uniform(size=(*batch, 4)) < 0.3
            illegal[..., 0] = False
            drawn = {name: np.where(illegal, -np.inf, x) if "logits" in name else x for name, x in drawn.items()}
        return drawn

    return draw


def _ratio(log_ratio, bound=40.0):
    return math.exp(min(max(log_ratio, -bound), bound))


def _ppo_clip(log_ratio, advantage, epsilon=0.2, epsilon_high=None, dual_clip=None):
    ratio = _ratio(log_ratio)
    clipped = min(max(ratio, 1 - epsilon), 1 + (epsilon if epsilon_high is None else epsilon_high))
    objective = min(ratio * advantage, clipped * advantage)
    if dual_clip is not None and advantage < 0:
        objective = max(objective, dual_clip * advantage)
    return -objective


def _discovered(log_ratio, advantage, alpha=2.0, beta=0.6):
    ratio = _ratio(log_ratio)
    if advantage >= 0:
        z = (ratio - 1) * advantage
        drift = max(z - alpha * math.tanh(z / alpha), 0)
    else:
        z = math.log(ratio) * advantage
        drift = max(z - beta * math.tanh(z / beta), 0)
    return -(ratio * advantage - drift)


def _simple(log_ratio, advantage, epsilon=0.2):
    ratio = _ratio(log_ratio, 20.0)
    return -(ratio * advantage - abs(advantage) / (2 * epsilon) * (ratio - 1) ** 2)


def _cispo(log_prob, log_ratio, advantage, epsilon_high, epsilon=None):
    weight = min(_ratio(log_ratio), 1 + epsilon_high)
    if epsilon is not None:
        weight = max(weight, 1 - epsilon)
    return -weight * advantage * log_prob


def _adapt(beta, kl, target):
    return beta * 2 if kl > target * 1.5 else beta / 2 if kl < target / 1.5 else beta


def _draw_adapt(rng, batch):
    return {"beta": rng.uniform(0.1, 2, batch), "kl": 0.01 * np.exp(rng.normal(size=batch))}


def _draw_cispo(rng, batch):
    return {"log_prob": -rng.exponential(size=batch), **numbers("log_ratio", "advantage")(rng, batch)}


def _entropy(logits):
    return sum(math.exp(x) * x for x in log_softmax(logits) if x > -math.inf)


def _categorical_kl(logits, other_logits):
    pairs = zip(log_softmax(logits), log_softmax(other_logits), strict=True)
    return sum(math.exp(x) * (x - y) for x, y in pairs if x > -math.inf)


def _gaussian_kl(mu, logvar, other_mu, other_logvar):
    total = 0.0
    for m, v, n, w in zip(mu, logvar, other_mu, other_logvar, strict=True):
        # log(σ'/σ) + (σ² + (μ − μ')²) / 2σ'² − ½
        total += 0.5 * (w - v) + (math.exp(v) + (m - n) ** 2) / (2 * math.exp(w)) - 0.5
    return total


def _gaussian_cross_entropy(mu, logvar, target_mu, target_logvar):
    entropy = sum(0.5 * (math.log(2 * math.pi) + 1 + v) for v in target_logvar)
    return _gaussian_kl(target_mu, target_logvar, mu, logvar) + entropy


def _draw_gaussians(*names):
    def draw(rng, batch):
        return {name: rng.normal(size=(*batch, 3)) for name in names}

    return draw


_MASKED = np.array([0.0, -np.inf, 1.0, -2.0])
_WIDE_LOGVARS = [{"logvar": x} for x in (-100.0, 100.0)]

CASES = {
    "losses.policy_gradient_loss": Case(
        losses.policy_gradient_loss,
        numbers("log_prob", "advantage"),
        each(lambda log_prob, advantage: -log_prob * advantage),
        learns=("log_prob",),
        edges=({"log_prob": -np.inf, "advantage": 0.0}, {"log_prob": -100.0}),
        faults=(
            ("-jax.lax.stop_gradient(advantage)", "jax.lax.stop_gradient(advantage)"),
            ("-jax.lax.stop_gradient(advantage)", "-advantage"),
            (
                "multiply_no_nan(log_prob, -jax.lax.stop_gradient(advantage))",
                "-jax.lax.stop_gradient(advantage) * log_prob",
            ),
        ),
    ),
    "losses.behaviour_cloning_loss": Case(
        losses.behaviour_cloning_loss,
        numbers("log_prob"),
        each(lambda log_prob: -log_prob),
        edges=({"log_prob": -np.inf}, {"log_prob": -100.0}),
        faults=(
            ("-jnp.maximum(log_prob, jnp.finfo(log_prob.dtype).min)", "-log_prob"),
            ("-jnp.maximum(", "-jnp.minimum("),
        ),
    ),
    "losses.ppo_clip_loss": Case(
        losses.ppo_clip_loss,
        numbers("log_ratio", "advantage"),
        each(_ppo_clip),
        learns=("log_ratio",),
        edges=FAR,
        faults=(("-jnp.minimum(", "-jnp.maximum("), ("ratio_of(log_ratio)", "jnp.exp(log_ratio)")),
    ),
    "losses.ppo_clip_loss: asymmetric and dual": Case(
        losses.ppo_clip_loss,
        numbers("log_ratio", "advantage"),
        each(_ppo_clip),
        learns=("log_ratio",),
        static={"epsilon": 0.1, "epsilon_high": 0.3, "dual_clip": 1.5},
        edges=FAR,
        faults=(
            ("1 - epsilon, 1 + high", "1 - high, 1 + epsilon"),
            ("advantage < 0, ", "advantage > 0, "),
            ("jnp.minimum(loss, -bound", "jnp.maximum(loss, -bound"),
        ),
    ),
    "losses.ppo_kl_loss": Case(
        losses.ppo_kl_loss,
        numbers("log_ratio", "advantage", "kl"),
        each(lambda log_ratio, advantage, kl, beta: -math.exp(log_ratio) * advantage + beta * kl),
        learns=("log_ratio", "kl"),
        static={"beta": 0.7},
        edges=FAR,
        faults=(
            ("beta * kl - ", "-beta * kl - "),
            ("ratio_of(log_ratio) * jax.lax.stop_gradient(advantage)", "ratio_of(log_ratio) * advantage"),
            ("beta * kl - ", "beta * jax.lax.stop_gradient(kl) - "),
        ),
    ),
    "losses.adapt_kl_coefficient": Case(
        losses.adapt_kl_coefficient,
        _draw_adapt,
        each(_adapt),
        learns=(),
        static={"target": 0.01},
        edges=({"kl": 0.0}, {"kl": 1e30}),
        faults=(("kl > 1.5", "kl < 1.5"), ("jnp.nan, factor)", "jnp.nan, 1 / factor)")),
        smooth=False,
    ),
    **{
        f"losses.approximate_kl: {name}": Case(
            losses.approximate_kl,
            numbers("log_ratio"),
            each(lambda log_ratio, estimator, formula=formula: formula(log_ratio)),
            static={"estimator": name},
            wide=True,
            edges=({"log_ratio": -np.inf}, {"log_ratio": 100.0}, {"log_ratio": 0.0}, {"log_ratio": -100.0}),
            faults=(fault,),
        )
        for name, formula, fault in (
            ("k1", lambda x: -x, ("return -bounded", "return bounded")),
            ("k2", lambda x: x * x / 2, ("0.5 * jnp.square(bounded)", "jnp.square(bounded)")),
            ("k3", lambda x: math.exp(x) - 1 - x, ("expm1(bounded) - bounded", "expm1(-bounded) + bounded")),
        )
    },
    "losses.discovered_policy_loss": Case(
        losses.discovered_policy_loss,
        numbers("log_ratio", "advantage"),
        each(_discovered),
        learns=("log_ratio",),
        edges=FAR,
        faults=(
            ("advantage >= 0", "advantage < 0"),
            ("return drift - gain", "return -drift - gain"),
            ("bounded = bounded_log_ratio(log_ratio)", "bounded = log_ratio"),
            ("bounded * advantage", "jnp.expm1(bounded) * advantage"),
        ),
    ),
    "losses.simple_policy_loss": Case(
        losses.simple_policy_loss,
        numbers("log_ratio", "advantage"),
        each(_simple),
        learns=("log_ratio",),
        edges=(*FAR, {"log_ratio": 100.0, "advantage": 1e5}),
        faults=(
            ("jnp.abs(advantage) *", "advantage *"),
            ("- (1 + gap) * advantage", "+ (1 + gap) * advantage"),
            ("power=2", "power=1"),
        ),
    ),
    "losses.cispo_loss": Case(
        losses.cispo_loss,
        _draw_cispo,
        each(_cispo),
        learns=("log_prob",),
        static={"epsilon_high": 0.3, "epsilon": 0.4},
        edges=(*FAR, {"log_prob": -np.inf, "advantage": 0.0}, {"log_prob": -100.0}),
        faults=(
            ("truncated_ratio(jax.lax.stop_gradient(log_ratio), 1 + high)", "truncated_ratio(log_ratio, 1 + high)"),
            ("jnp.maximum(weight, 1 - positive", "jnp.minimum(weight, 1 - positive"),
            ("-weight * jax", "weight * jax"),
        ),
    ),
    "losses.entropy_loss": Case(
        losses.entropy_loss,
        draw_logits("logits"),
        rows(_entropy),
        wide=True,
        edges=({"logits": _MASKED}, {"logits": [0.0, -100.0, 100.0, -1e30]}),
        faults=(
            (
                "return expected_value(log_probs, jnp.exp(log_probs))",
                "return -expected_value(log_probs, jnp.exp(log_probs))",
            ),
            (
                "return expected_value(log_probs, jnp.exp(log_probs))",
                "return jnp.sum(log_probs * jnp.exp(log_probs), -1)",
            ),
        ),
        smooth=False,
    ),
    "losses.entropy_loss: no masks": Case(
        losses.entropy_loss, draw_logits("logits", masked=False), rows(_entropy), wide=True
    ),
    "losses.categorical_kl": Case(
        losses.categorical_kl,
        draw_logits("logits", "other_logits"),
        rows(_categorical_kl),
        wide=True,
        edges=(
            {"logits": _MASKED, "other_logits": _MASKED},
            {"logits": _MASKED},
            {"logits": 0.0, "other_logits": [0.0, -100.0, 100.0, 3.0]},
        ),
        faults=(
            (
                "log_probs - other_log_probs, jnp.exp(log_probs)",
                "log_probs - other_log_probs, jnp.exp(other_log_probs)",
            ),
            ("expected_value(log_probs - other_log_probs", "expected_value(other_log_probs - log_probs"),
        ),
        smooth=False,
    ),
    "losses.categorical_kl: no masks": Case(
        losses.categorical_kl, draw_logits("logits", "other_logits", masked=False), rows(_categorical_kl), wide=True
    ),
    "losses.gaussian_kl": Case(
        losses.gaussian_kl,
        _draw_gaussians("mu", "logvar", "other_mu", "other_logvar"),
        rows(_gaussian_kl),
        wide=True,
        edges=(*_WIDE_LOGVARS, {"logvar": 100.0, "other_logvar": -100.0}, {"logvar": -100.0, "other_logvar": 100.0}),
        faults=(
            ("gap = logvar - other_logvar", "gap = other_logvar - logvar"),
            ("other_mu) * jnp.exp(-0.5 * other_logvar)", "other_mu) * jnp.exp(-0.5 * logvar)"),
            ("_LARGEST_LOGVAR)) - gap + distance, axis=-1)", "_LARGEST_LOGVAR)) - gap + distance, axis=-1) / 3"),
        ),
    ),
    "losses.gaussian_cross_entropy": Case(
        losses.gaussian_cross_entropy,
        _draw_gaussians("mu", "logvar", "target_mu", "target_logvar"),
        rows(_gaussian_cross_entropy),
        learns=("mu", "logvar"),
        wide=True,
        edges=(*_WIDE_LOGVARS, {"logvar": -100.0, "target_logvar": 100.0}),
        faults=(
            ("target_logvar - logvar", "logvar - target_logvar"),
            ("+ logvar + spread", "- logvar + spread"),
            ("jax.lax.stop_gradient((target_mu, target_logvar))", "(target_mu, target_logvar)"),
        ),
    ),
}
