"""Cases of the policies over discrete actions."""

import numpy as np

from bellmax.policies import (
    bernoulli,
    boltzmann,
    categorical,
    epsilon_greedy,
    greedy,
    multi_discrete,
    uniform,
    unimix,
)
from cases import Case

ACTIONS = 4


def _legal(rng, batch, options=ACTIONS):
    """Draws a mask with something legal, and a legal action."""
    mask = rng.uniform(size=(*batch, options)) < 0.7
    action = rng.integers(0, options, batch)
    np.put_along_axis(mask, action[..., None], True, axis=-1)
    return mask, action.astype(np.int32)


def _draw(name, values, knob=None):
    """Draws what a policy over masked actions takes: values, perhaps a knob, a mask, and an action for `observe`."""

    def draw(rng, batch):
        mask, action = _legal(rng, batch)
        drawn = {name: values(rng, (*batch, ACTIONS))}
        if knob is not None:
            drawn[knob[0]] = rng.uniform(*knob[1:], batch)
        return {**drawn, "mask": mask, "action": action}

    return draw


def _draw_multi_discrete(rng, batch):
    (left, first), (right, second) = _legal(rng, batch, 2), _legal(rng, batch, 3)
    mask, action = np.concatenate([left, right], axis=-1), np.stack([first, second], axis=-1)
    return {"logits": rng.normal(size=(*batch, 5)), "mask": mask, "action": action}


def _draw_bernoulli(rng, batch):
    return {
        "logits": rng.normal(size=(*batch, 3)),
        "action": rng.integers(0, 2, (*batch, 3)).astype(np.int32),
    }


def _ties(rng, shape):
    return rng.integers(0, 3, shape).astype(np.float64)


def _normal(rng, shape):
    return rng.normal(size=shape)


def _observe(pi, action):
    return pi.log_prob(action), pi.entropy(), pi.probs, pi.mode()


def _observe_without_probs(pi, action):
    return pi.log_prob(action), pi.entropy(), pi.mode()


def _rows(probs_of, floor=0.0):
    """Makes an oracle out of the probabilities of one example, found action by action."""

    def oracle(mask, action, **rest):
        log_prob, entropy, probs, mode = np.zeros(action.shape), np.zeros(action.shape), np.zeros(mask.shape), []
        for place in np.ndindex(action.shape):
            legal = [i for i in range(ACTIONS) if mask[place][i]]
            p = probs_of(legal, **{name: value[place] for name, value in rest.items()})
            for i in legal:
                probs[(*place, i)] = p[i]
                if p[i] > 0:
                    entropy[place] -= p[i] * np.log(p[i])
            log_prob[place] = np.log(max(p[int(action[place])], floor))
            mode.append(int(np.argmax(probs[place])))
        return [log_prob, entropy, probs, np.reshape(mode, action.shape)]

    return oracle


def _softmax(logits, legal):
    total = sum(np.exp(logits[i]) for i in legal)
    return {i: np.exp(logits[i]) / total for i in legal}


def _epsilon_greedy(legal, q, eps):
    best = max(q[i] for i in legal)
    equals = [i for i in legal if q[i] == best]
    return {i: (1 - eps) * (i in equals) / len(equals) + eps / len(legal) for i in legal}


def _unimix(legal, logits, mixture):
    p = _softmax(logits, legal)
    return {i: (1 - mixture) * p[i] + mixture / len(legal) for i in legal}


def _multi_discrete(logits, mask, action, nvec):
    assert nvec == (2, 3)
    log_prob, entropy, mode = np.zeros(action.shape[:-1]), np.zeros(action.shape[:-1]), np.zeros(action.shape)
    for place in np.ndindex(action.shape[:-1]):
        for choice, (start, options) in enumerate(((0, 2), (2, 3))):
            legal = [i for i in range(options) if mask[place][start + i]]
            p = _softmax(logits[place][start:], legal)
            log_prob[place] += np.log(p[int(action[place][choice])])
            entropy[place] -= sum(each * np.log(each) for each in p.values())
            mode[(*place, choice)] = max(legal, key=lambda i, p=p: p[i])
    return [log_prob, entropy, mode]


def _bernoulli(logits, action):
    on = 1 / (1 + np.exp(-logits))
    log_prob = np.sum(np.log(np.where(action == 1, on, 1 - on)), axis=-1)
    return [log_prob, -np.sum(on * np.log(on) + (1 - on) * np.log(1 - on), axis=-1), on > 0.5]


_COMMON = {"observe": _observe, "observed": ("action",), "wide": True}

CASES = {
    "policies.epsilon_greedy": Case(
        epsilon_greedy,
        _draw("q", _ties, ("eps", 0.05, 0.95)),
        _rows(_epsilon_greedy, floor=1e-15),
        learns=("eps",),
        edges=({"eps": 0.0}, {"eps": 1.0}, {"eps": 0.0, "q": 0.0}, {"q": 1e30}),
        faults=(
            ("epsilon * self._share", "epsilon / q.shape[-1]"),
            ("(1 - epsilon) * greedy", "greedy"),
            ("jnp.maximum(self.probs, _SMALLEST_PROBABILITY)", "self.probs"),
            ("forbid(q, mask, function)", "q"),
        ),
        **_COMMON,
    ),
    "policies.greedy": Case(
        greedy,
        _draw("q", _ties),
        _rows(lambda legal, q: _epsilon_greedy(legal, q, 0.0), floor=1e-15),
        learns=(),
        edges=({"q": 0.0}, {"q": -1e30}),
        faults=(("_among_legal(q, 0.0, mask", "_among_legal(q, 1.0, mask"),),
        **_COMMON,
    ),
    "policies.boltzmann": Case(
        boltzmann,
        _draw("q", _normal, ("tau", 0.5, 3.0)),
        _rows(lambda legal, q, tau: _softmax(q / tau, legal)),
        edges=({"tau": 1e-6}, {"tau": 1e6}, {"q": 1e6, "tau": 1e-3}, {"q": [0.0, 1e6, -1e6, 1e6], "tau": 1e3}),
        faults=(
            ('forbid(q, mask, "boltzmann")', "q"),
            ("jnp.where(masked, 0, gap) / temperature", "jnp.where(masked, 0, gap) * temperature"),
            ("jnp.where(masked, -jnp.inf, jnp.where(masked, 0, gap) / temperature)", "gap / temperature"),
        ),
        **_COMMON,
    ),
    "policies.categorical": Case(
        categorical,
        _draw("logits", _normal),
        _rows(lambda legal, logits: _softmax(logits, legal)),
        edges=({"logits": 1e30}, {"logits": [0.0, 1e4, -1e4, 1e4]}),
        faults=(
            ('forbid(logits, mask, "categorical")', "logits"),
            ("jax.nn.log_softmax(at_least_float32(self.unnormalised_logits), axis=-1)", "self.unnormalised_logits"),
        ),
        **_COMMON,
    ),
    "policies.uniform": Case(
        uniform,
        lambda rng, batch: dict(zip(("mask", "action"), _legal(rng, batch), strict=True)),
        _rows(lambda legal: dict.fromkeys(legal, 1 / len(legal))),
        faults=(('forbid(jnp.zeros(mask.shape), mask, "uniform")', "jnp.zeros(mask.shape)"),),
        **_COMMON,
    ),
    "policies.unimix": Case(
        unimix,
        _draw("logits", _normal, ("mixture", 0.05, 0.95)),
        _rows(_unimix),
        edges=(
            {"mixture": 0.0},
            {"mixture": 1.0},
            {"logits": 1e30},
            {"logits": [0.0, -200.0, 1.0, 2.0], "mixture": 0.0, "mask": True, "action": 1},
            {"logits": [0.0, -np.inf, 1.0, 2.0], "mixture": 0.01, "mask": True, "action": 1},
        ),
        faults=(
            ("+ m * share", "+ m / logits.shape[-1]"),
            ("(1 - m) * jnp.exp", "jnp.exp"),
            ("large = probs >= jnp.finfo(probs.dtype).tiny", "large = probs > -1"),
        ),
        **_COMMON,
    ),
    "policies.multi_discrete": Case(
        multi_discrete,
        _draw_multi_discrete,
        _multi_discrete,
        static={"nvec": (2, 3)},
        observe=_observe_without_probs,
        observed=("action",),
        wide=True,
        edges=({"logits": 1e30}, {"logits": [0.0, 1e4, -1e4, 1e4, 1e4]}),
        faults=(
            ("choice.log_prob(value[..., i])", "choice.log_prob(value[..., 0])"),
            ('forbid(part, legal, "multi_discrete")', "part"),
        ),
    ),
    "policies.bernoulli": Case(
        bernoulli,
        _draw_bernoulli,
        _bernoulli,
        observe=_observe_without_probs,
        observed=("action",),
        wide=True,
        edges=({"logits": 1e4}, {"logits": -1e4}, {"logits": 0.0}),
        faults=(
            ("jax.nn.log_sigmoid(-logits)", "-jax.nn.log_sigmoid(logits)"),
            ("-jnp.sum(add_up(multiply_no_nan(x, jnp.exp(x))", "-jnp.mean(add_up(multiply_no_nan(x, jnp.exp(x))"),
        ),
    ),
}

EXEMPT = {
    "policies.joint": "takes distributions, tests/policies/test_joint.py",
    "policies.random_policy": "takes a space, tests/policies/test_random_policy.py",
}
