"""The table of names: every function of rlax has a row, and every name in it exists."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import rlax

import bellmax

PAGE = (Path(__file__).parents[1] / "docs" / "from_other_libraries.md").read_text()
ROWS = re.findall(r"^\| (?!-)(.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
ROWS = [(theirs, ours) for theirs, ours in ROWS if ours != "Bellmax"]
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
COAX = {
    "td_learning": "SimpleTD Sarsa ExpectedSarsa QLearning DoubleQLearning SoftQLearning ClippedDoubleQLearning "
    "SoftClippedDoubleQLearning",
    "policy_objectives": "VanillaPG PPOClip DeterministicPG SoftPG CrossEntropy",
    "regularizers": "EntropyRegularizer KLDivRegularizer NStepEntropyRegularizer",
    "value_losses": "mse huber logloss logloss_sign quantile_huber",
    "value_transforms": "ValueTransform LogTransform",
    "proba_dists": "CategoricalDist NormalDist SquashedNormalDist DiscretizedIntervalDist EmpiricalQuantileDist "
    "ProbaDist",
}
KERAS_GYM = "vanilla ppo cross_entropy sac sarsa q_learning double_q_learning expected_sarsa"


def exists(name: str) -> bool:
    """Whether a dotted name leads somewhere: from a folder of Bellmax, or from the package it begins with."""
    first, *rest = name.split(".")
    thing = bellmax if first in bellmax._FOLDERS else importlib.import_module(first)
    for part in [first, *rest] if thing is bellmax else rest:
        if not hasattr(thing, part):
            try:
                importlib.import_module(f"{thing.__name__}.{part}")
            except (ImportError, AttributeError):
                return False
        thing = getattr(thing, part)
    return True


@pytest.mark.parametrize(("theirs", "ours"), ROWS)
def test_every_row_names_something_that_exists(theirs, ours):
    names = [name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", ours)]
    assert [name for name in names if not exists(name)] == []
    assert names or theirs == "`zero_policy_targets`"


def test_every_public_function_of_rlax_has_a_row():
    section = SECTIONS["rlax"]
    public = {name for name, thing in vars(rlax).items() if not name.startswith("_") and not inspect.ismodule(thing)}
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == public | set(rlax.__all__)


def test_every_item_of_coax_and_every_strategy_of_keras_gym_has_a_row():
    rows = "\n".join(theirs for theirs, _ in ROWS)
    names = [f"`{module}.{name}`" for module, items in COAX.items() for name in items.split()]
    names += [f"update_strategy='{name}'" for name in KERAS_GYM.split()]
    assert [name for name in names if name not in rows] == []
