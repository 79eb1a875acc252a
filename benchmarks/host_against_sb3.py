"""PPO on gymnasium's CartPole-v1 against Stable-Baselines3: environment steps per CPU-second.

    python -m venv /work/venv-sb3 && /work/venv-sb3/bin/pip install torch stable-baselines3
    python benchmarks/host_against_sb3.py --peer /work/venv-sb3/bin/python

Both step 8 environments in their own process (SB3's `DummyVecEnv`, our lanes) and learn with the same hyperparameters:
rollout, minibatch, epochs, networks, rate. Each library runs in a process of its own, torch held to one thread; runs
alternate, so that what else the machine does falls on both. CPU-seconds are of all threads; compilation is not timed.
Last, the same number of steps without a policy tells what our loop adds to bare stepping.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SETTINGS = {"num_envs": 8, "rollout_length": 128, "batch_size": 256, "epochs": 4, "updates": 40}


def bellmax_worker():
    import jax
    import numpy as np

    from bellmax import algorithms, envs
    from bellmax.experiment._compile import dispatch_inline
    from bellmax.experiment._host_loop import HostLoop
    from bellmax.experiment._host_trainer import HostTrainer

    dispatch_inline()  # as the command line does
    lanes, length = SETTINGS["num_envs"], SETTINGS["rollout_length"]
    ppo = algorithms.PPO(
        rollout_length=length,
        epochs=SETTINGS["epochs"],
        minibatches=lanes * length // SETTINGS["batch_size"],
        learning_rate=3e-4,
        entropy_coefficient=0.0,
        value_clip=False,
        hidden_sizes=(64, 64),
    )
    environment = envs.GymnasiumEnvironment("CartPole-v1")
    trainer = HostTrainer(ppo, environment, lanes)

    def train(seed):
        with HostLoop(trainer, jax.random.key(seed)) as loop:
            loop.step()
            jax.block_until_ready(loop.state.shared.algorithm)
            timed = timer()
            for _ in range(SETTINGS["updates"]):
                loop.step()
            jax.block_until_ready(loop.state.shared.algorithm)
            return timed() | {"steps": lanes * length * SETTINGS["updates"]}

    def collect(seed):
        with HostLoop(trainer, jax.random.key(seed)) as loop:
            loop._collect()
            timed = timer()
            for _ in range(SETTINGS["updates"]):
                loop._collect()
            return timed() | {"steps": lanes * length * SETTINGS["updates"]}

    def step_bare(seed):
        bare = environment.start(lanes)
        bare.reset(seed=seed)
        actions = np.random.default_rng(seed).integers(0, 2, (length * SETTINGS["updates"], lanes), np.int32)
        timed = timer()
        for action in actions:
            bare.step(action)
        return timed() | {"steps": actions.size}

    return {"train": train, "collect": collect, "bare": step_bare}


def sb3_worker():
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)

    def train(seed):
        model = PPO(
            "MlpPolicy",
            make_vec_env("CartPole-v1", n_envs=SETTINGS["num_envs"], seed=seed),
            n_steps=SETTINGS["rollout_length"],
            batch_size=SETTINGS["batch_size"],
            n_epochs=SETTINGS["epochs"],
            learning_rate=3e-4,
            policy_kwargs={"net_arch": {"pi": [64, 64], "vf": [64, 64]}},
            seed=seed,
            device="cpu",
        )
        steps = SETTINGS["num_envs"] * SETTINGS["rollout_length"] * SETTINGS["updates"]
        timed = timer()
        model.learn(steps)
        return timed() | {"steps": steps}

    return {"train": train}


def timer():
    """Starts a clock; calling the result gives CPU and wall seconds since, those of children that ended included."""

    def cpu():
        return sum(os.times()[:4])

    start, wall = cpu(), time.perf_counter()
    return lambda: {"cpu": cpu() - start, "wall": time.perf_counter() - wall}


def serve(programs):
    """Answers each line, a program and a seed, with one line of figures."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, seed = line.split()
        print(json.dumps(programs[name](int(seed))), flush=True)


class Worker:
    """A library in a process of its own."""

    def __init__(self, python: Path, name: str, settings: dict):
        command = [python, __file__, "--worker", name, "--settings", json.dumps(settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "ready"

    def run(self, program: str, seed: int) -> dict:
        """Runs a program once and returns its figures."""
        self.process.stdin.write(f"{program} {seed}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(peer: Path, seeds: int) -> None:
    workers = {"bellmax": Worker(Path(sys.executable), "bellmax", SETTINGS), "sb3": Worker(peer, "sb3", SETTINGS)}
    programs = [("bellmax", "train"), ("sb3", "train"), ("bellmax", "collect"), ("bellmax", "bare")]
    rates = {program: [] for program in programs}
    for seed in range(seeds + 1):
        for library, program in programs if seed % 2 else programs[::-1]:
            row = workers[library].run(program, seed)
            if seed:  # the first run warms up
                rates[library, program].append((row["steps"] / row["cpu"], row["steps"] / row["wall"]))
    print(f"settings {SETTINGS}, {seeds} runs each, medians (least to most)")
    for (library, program), pairs in rates.items():
        cpu, wall = zip(*pairs, strict=True)
        print(
            f"{library:8} {program:8} {statistics.median(cpu):9,.0f} steps/CPU-s ({min(cpu):,.0f} to {max(cpu):,.0f}), "
            f"{statistics.median(wall):9,.0f} steps/wall-s"
        )
    ours, theirs, collect, bare = ([cpu for cpu, _ in pairs] for pairs in rates.values())
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    print(f"ours to SB3's, steps per CPU-second: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}")
    lanes = SETTINGS["num_envs"]
    bare_us, collect_us, ours_us = (lanes * 1e6 / statistics.median(each) for each in (bare, collect, ours))
    print(
        f"a step of all {lanes} environments: bare {bare_us:.0f} µs of CPU, acting adds {collect_us - bare_us:.0f}, "
        f"learning {ours_us - collect_us:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=Path("/work/venv-sb3/bin/python"), help="python that has SB3")
    parser.add_argument("--seeds", type=int, default=7, help="runs of each program")
    parser.add_argument("--updates", type=int, default=SETTINGS["updates"], help="rollouts of a run")
    parser.add_argument("--batch-size", type=int, default=SETTINGS["batch_size"], help="of a minibatch")
    parser.add_argument("--worker", choices=("bellmax", "sb3"), help=argparse.SUPPRESS)
    parser.add_argument("--settings", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        SETTINGS.update(options.settings)
        serve({"bellmax": bellmax_worker, "sb3": sb3_worker}[options.worker]())
    else:
        SETTINGS.update(updates=options.updates, batch_size=options.batch_size)
        compare(options.peer, options.seeds)


if __name__ == "__main__":
    main()
