"""Run folders as `bellmax train` and `bellmax sweep` leave them, without training."""

import json

from bellmax.experiment import Configuration
from bellmax.experiment._configuration import hyperparameters_of, preset_of
from bellmax.experiment._settings import Settings


def configuration(algorithm="ppo", environment="CartPole-v1", **changes):
    preset = preset_of(algorithm, environment, None)
    values = {name: preset[name] for name in hyperparameters_of(algorithm)}
    run = {"steps": preset["steps"], "num_envs": preset["num_envs"], "seeds": 2, "key": 0}
    run |= {name: changes.pop(name) for name in list(changes) if name in run}
    return Configuration(algorithm, environment, **run, hyperparameters=values | changes)


def rows(returns):
    """A row a seed at steps 100, 200, ...; `returns` is one list a seed, None where no episode ended."""
    return [
        {"step": 100 * (point + 1), "seed": seed, "seconds": 0.5 * (point + 1), "episodes": int(value is not None)}
        | {"episode_return": value, "loss": None if point == 0 else 1.0 / point}
        for point in range(len(returns[0]))
        for seed, value in enumerate(each[point] for each in returns)
    ]


def write_run(path, returns=((1.0, 2.0, 4.0), (3.0, 4.0, 6.0)), final=(4.0, 6.0), state="finished", **changes):
    """Writes the files of a run; `final` is each seed's mean return, None for a run that did not come so far."""
    path.mkdir(parents=True)
    made = configuration(seeds=len(returns), **changes)
    content = made.as_json() | {"versions": {"jax": "0.0"}, "device": "abacus", "settings": vars(Settings())}
    write(path / "config.json", content)
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(returns)))
    status = {"state": state, "steps": 100 * len(returns[0]), "of": 300}
    write(path / "status.json", status | ({"error": "OSError('<b>')"} if state == "failed" else {}))
    if final is not None:
        mean = None if None in final else sum(final) / len(final)
        figures = {"mean": mean, "low": mean, "high": mean, "episodes": 8, "seeds": len(final), "unfinished": 0}
        write(path / "evaluation.json", figures | {"sampled": False, "key": 0, "seed_means": list(final)})
    return path


def write_sweep(path, rates=("1e-3", "1e-2", "1e-1"), unfinished=()):
    """Writes the folder of a sweep of learning rates, whose later ones are better."""
    for place, rate in enumerate(rates):
        final = None if place in unfinished else (4.0 + place, 6.0 + place)
        state = "running" if place in unfinished else "finished"
        write_run(path / "runs" / f"{place:03d}_learning-rate={rate}", final=final, state=state, learning_rate=rate)
    base = configuration().as_json()
    write(path / "config.json", {"base": base, "values": {"learning_rate": list(rates)}, "episodes": 8})
    return path


def write(path, content):
    path.write_text(json.dumps(content))
