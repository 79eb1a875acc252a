"""What checkpoints cost: the throughput of a run that makes them, and the time and size of one with a full replay.

    python benchmarks/checkpoint.py

First, PPO on CartPole-v1 in pieces of as many calls, with a checkpoint every 10 seconds and without, which alternate in
one process: wall time and CPU time of each piece, whatever threads save during it included. Then a replay of a million
transitions of CartPole-v1 (DQN), filled by training without learning, is saved and loaded.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import jax

from bellmax import algorithms, envs
from bellmax.experiment._checkpoint import Progress
from bellmax.experiment._checkpoints import Checkpoints
from bellmax.experiment._compile import dispatch_inline
from bellmax.experiment._configuration import preset_of
from bellmax.experiment._drivers import drivers_of
from bellmax.experiment._train import _SECONDS_BETWEEN_SIGNALS
from bellmax.training import Trainer

EVERY = 10.0


def throughput(folder: Path, pairs: int):
    """Alternates pieces of `EVERY` seconds with a checkpoint at their start and pieces without."""
    preset = preset_of("ppo", "CartPole-v1", None)
    trainer = Trainer(algorithms.PPO(), envs.make("CartPole-v1"), preset["num_envs"])
    (driver,) = drivers_of(trainer, jax.random.split(jax.random.key(0), 1))
    checkpoints, saves, found = Checkpoints(folder / "ppo", "", keep=2), itertools.count(1), {True: [], False: []}
    with driver:
        driver.advance(1)
        begin = time.perf_counter()
        driver.advance(20)
        calls = max(1, int(20 * _SECONDS_BETWEEN_SIGNALS / (time.perf_counter() - begin)))
        pieces = int(EVERY / _SECONDS_BETWEEN_SIGNALS)
        checkpoints.save(driver.saved, Progress(steps=0), "")  # orbax is imported
        checkpoints.wait()
        cost(checkpoints, driver, saves)
        for pair in range(pairs):
            for saving in (True, False) if pair % 2 else (False, True):
                wall, cpu = time.perf_counter(), time.process_time()
                for piece in range(pieces):
                    driver.advance(calls)
                    if saving and piece == 0:
                        checkpoints.save(driver.saved, Progress(steps=next(saves)), "")
                checkpoints.wait()
                found[saving].append((time.perf_counter() - wall, time.process_time() - cpu))
    if not pairs:
        return
    steps = calls * pieces * trainer.steps_per_call
    for saving, name in ((False, "none"), (True, f"one every {EVERY:g} s")):
        wall, cpu = (statistics.median(each) for each in zip(*found[saving], strict=True))
        print(f"PPO, checkpoints: {name}: {steps / wall:,.0f} steps/s, {steps / cpu:,.0f} steps a CPU-second")
    for which, name in ((0, "wall"), (1, "CPU")):
        ratios = [a[which] / b[which] for a, b in zip(found[True], found[False], strict=True)]
        print(
            f"  time with / without, {name}: {statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})"
        )


def cost(checkpoints, driver, steps, saves: int = 30):
    """Tells what a save takes of wall and CPU time, with nothing else to do."""
    blocked, wall, cpu = 0.0, time.perf_counter(), time.process_time()
    for _ in range(saves):
        begin = time.perf_counter()
        checkpoints.save(driver.saved, Progress(steps=next(steps)), "")
        blocked += time.perf_counter() - begin
        checkpoints.wait()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"PPO, a save: training waits {blocked / saves * 1e3:.0f} ms, whole after {wall / saves * 1e3:.0f} ms; "
        f"{cpu / saves * 1e3:.0f} ms of CPU, {cpu / saves / EVERY:.2%} of one core at one every {EVERY:g} s"
    )


def replay(folder: Path, capacity: int):
    """Saves and loads a full replay."""
    lanes = 8
    dqn = algorithms.DQN(capacity=capacity, warm_up=capacity * 2, batch_size=128)
    trainer = Trainer(dqn, envs.make("CartPole-v1"), lanes)
    (driver,) = drivers_of(trainer, jax.random.split(jax.random.key(0), 1))
    checkpoints = Checkpoints(folder / "dqn", "", keep=1)
    with driver:
        driver.advance(capacity // trainer.steps_per_call)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(driver.saved) if leaf.dtype != jax.random.key(0).dtype)
        begin = time.perf_counter()
        checkpoints.save(driver.saved, Progress(steps=1), "")
        blocked = time.perf_counter() - begin
        assert checkpoints.wait()
        saved = time.perf_counter() - begin
        begin = time.perf_counter()
        checkpoint, _ = checkpoints.newest_good()
        verified = time.perf_counter() - begin
        driver.restore(checkpoint.load)
        loaded = time.perf_counter() - begin
    on_disk = sum(path.stat().st_size for path in checkpoint.path.rglob("*") if path.is_file())
    print(
        f"replay of {capacity:,}: {size / 1e6:.0f} MB of arrays, {on_disk / 1e6:.0f} MB on disk; training waits "
        f"{blocked:.2f} s, whole after {saved:.2f} s; verified in {verified:.2f} s, loaded after {loaded:.2f} s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=6, help="pairs of pieces; 0 for the cost of a save alone")
    parser.add_argument("--capacity", type=int, default=1_000_000)
    arguments = parser.parse_args()
    dispatch_inline()
    print(json.dumps({"jax": jax.__version__, "cores": os.cpu_count(), "load": os.getloadavg()[0]}))
    with tempfile.TemporaryDirectory() as folder:
        replay(Path(folder), arguments.capacity)
        throughput(Path(folder), arguments.pairs)


if __name__ == "__main__":
    main()
