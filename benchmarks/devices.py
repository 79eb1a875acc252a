"""What spreading a run over devices costs, and what share of a run is outside compiled code.

    python benchmarks/devices.py                     # on a CPU that poses as two devices: the cost, not a gain
    python benchmarks/devices.py --devices 4         # on a machine with four accelerators
    python benchmarks/devices.py --only dispatch

PPO on CartPole-v1. `lanes`: 512 environments of one seed, spread over devices by each of the three ways. `seeds`: 16
seeds of 4 environments, spread over devices. `dispatch`: the preset, as the command line runs it. Each figure is the
median of rounds; one device and several take turns, each in a process of its own, since the number of devices is fixed
when JAX starts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "lanes": {"num_envs": 512, "seeds": 0, "hidden_sizes": (64, 64)},
    "seeds": {"num_envs": 4, "seeds": 16, "hidden_sizes": (64, 64)},
}


def measure(spread: str, how: str, devices: int, seconds: float) -> dict[str, float]:
    """Trains for some seconds; returns environment steps of all seeds per second of wall and of CPU time."""
    import jax

    from bellmax import algorithms, envs
    from bellmax.experiment._compile import compiled
    from bellmax.training import Parallel, Trainer

    setting = SETTINGS[spread]
    algorithm = algorithms.PPO(hidden_sizes=setting["hidden_sizes"])
    trainer = Trainer(algorithm, envs.make("CartPole-v1"), setting["num_envs"])
    parallel = Parallel(trainer, jax.devices()[:devices], how, spread, compiler=compiled)
    key = jax.random.key(0)
    state = parallel.init(jax.random.split(key, setting["seeds"]) if setting["seeds"] else key)
    metrics = parallel.no_metrics(state)
    chunk = parallel.lower(state, metrics).compile()
    state, metrics = jax.block_until_ready(chunk(state, 1, metrics))
    calls, wall, cpu = 0, time.perf_counter(), time.process_time()
    size = 1
    while (passed := time.perf_counter() - wall) < seconds:
        state, metrics = jax.block_until_ready(chunk(state, size, metrics))
        calls += size
        size = 2 * size if passed < seconds / 8 else size
    steps = calls * trainer.steps_per_call * max(setting["seeds"], 1)
    return {"wall": steps / (time.perf_counter() - wall), "cpu": steps / (time.process_time() - cpu)}


def measure_dispatch() -> dict[str, float]:
    """Trains as the command line does; returns the share of the loop's time outside compiled code."""
    import tempfile

    from bellmax.experiment import main
    from bellmax.experiment._drive import Drive
    from bellmax.experiment._drivers import Compiled

    inside = whole = 0.0
    chunk_of, drive = Compiled.__enter__, Drive.to_the_end

    def enter(self):
        chunk_of(self)
        compiled_chunk = self._chunk

        def timed(*arguments):
            nonlocal inside
            import jax

            begin = time.perf_counter()
            result = jax.block_until_ready(compiled_chunk(*arguments))
            inside += time.perf_counter() - begin
            return result

        self._chunk = timed
        return self

    def timed_drive(self, report):
        nonlocal whole
        begin = time.perf_counter()
        result = drive(self, report)
        whole += time.perf_counter() - begin
        return result

    Compiled.__enter__, Drive.to_the_end = enter, timed_drive
    with tempfile.TemporaryDirectory() as folder:
        main(["train", "ppo", "CartPole-v1", "--episodes", "1", "--out", f"{folder}/run"])
    return {"seconds": whole, "outside": 1 - inside / whole}


def in_process(words: list[str], devices: int) -> dict[str, float]:
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "NPROC": "16"}
    found = subprocess.run(
        [sys.executable, __file__, "--worker", *words, "--devices", str(devices)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return json.loads(found.stdout.splitlines()[-1])


def compare(spread: str, how: str, devices: int, rounds: int, seconds: float) -> None:
    words = ["--only", spread, "--how", how, "--seconds", str(seconds)]
    found = {1: [], devices: []}
    for _ in range(rounds):
        for count in found:
            found[count].append(in_process(words, count))
    for clock in ("wall", "cpu"):
        one, several = ([each[clock] for each in found[count]] for count in (1, devices))
        ratios = [b / a for a, b in zip(one, several, strict=True)]
        print(
            f"{spread:6} {how:10} steps per {clock} second: 1 device {statistics.median(one):10,.0f}, "
            f"{devices} devices {statistics.median(several):10,.0f}, ratio {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--only", choices=["lanes", "seeds", "dispatch"])
    parser.add_argument("--how", choices=["shard_map", "pmap", "jit"])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        if options.only == "dispatch":
            print(json.dumps(measure_dispatch()))
        else:
            print(json.dumps(measure(options.only, options.how, options.devices, options.seconds)))
        return
    for how in [options.how] if options.how else ["shard_map", "pmap", "jit"]:
        if options.only in (None, "lanes"):
            compare("lanes", how, options.devices, options.rounds, options.seconds)
    if options.only in (None, "seeds"):
        compare("seeds", options.how or "shard_map", options.devices, options.rounds, options.seconds)
    if options.only in (None, "dispatch"):
        found = [in_process(["--only", "dispatch"], 1) for _ in range(options.rounds)]
        shares = sorted(each["outside"] for each in found)
        print(
            f"dispatch: {statistics.median(shares):.2%} of {statistics.median(e['seconds'] for e in found):.1f} s "
            f"outside compiled code ({shares[0]:.2%} to {shares[-1]:.2%})"
        )


if __name__ == "__main__":
    main()
