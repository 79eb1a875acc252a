"""Our loop over a gymnax environment against gymnax's own step, which resets by itself.

    python benchmarks/stepping_against_gymnax.py [--environment CartPole-v1] [--rounds 40]

Both take uniformly random actions in as many environments, start new episodes where one ends, and return every
transition with its true successor. They run alternately in one process; a figure is the median over the rounds of CPU
seconds and of wall seconds, the ratio that of the medians.
"""

import argparse
import statistics
import time

import gymnax
import jax
import jax.numpy as jnp

from bellmax import algorithms, envs
from bellmax.training._collect import collect, start_lane

LENGTH = 128


class RandomPolicy(algorithms.AbstractAlgorithm):
    """Acts uniformly and learns nothing."""

    @property
    def requirements(self):
        return algorithms.OnPolicy(LENGTH)

    def init(self, spaces, *, key):
        raise NotImplementedError

    def act(self, state, observation, memory, *, step, key, explore=True):
        return jax.random.randint(key, (), 0, state), None, memory

    def update(self, state, batch, *, step, key, axis_name=None):
        raise NotImplementedError


def theirs(name, lanes):
    environment, parameters = gymnax.make(name)
    actions = environment.action_space(parameters).n

    def run(carry, key):
        def one(carry, key):
            state, observation = carry
            keys = jax.random.split(key, 2 * lanes)
            action = jax.vmap(lambda key: jax.random.randint(key, (), 0, actions))(keys[:lanes])
            following, state, reward, terminated, truncated, info = jax.vmap(environment.step, (0, 0, 0, None))(
                keys[lanes:], state, action, parameters
            )
            transition = (observation, action, reward, info["final_observation"], terminated, truncated)
            return (state, following), transition

        return jax.lax.scan(one, carry, jax.random.split(key, LENGTH))

    observation, state = jax.vmap(environment.reset, (0, None))(jax.random.split(jax.random.key(0), lanes), parameters)
    return jax.jit(run, donate_argnums=0), (state, observation)


def ours(name, lanes):
    environment, algorithm = envs.make(name), RandomPolicy()
    actions = environment.spaces.action.n

    def run(carry, key):
        return collect(
            algorithm, environment, actions, carry, length=LENGTH, step=jnp.zeros(()), steps_at_once=lanes, key=key
        )[:2]

    keys = jax.random.split(jax.random.key(0), lanes)
    return jax.jit(run, donate_argnums=0), jax.vmap(lambda key: start_lane(algorithm, environment, key))(keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    for lanes in (8, 64, 512, 4096):
        seconds = {"theirs": [], "ours": []}
        sides = {"theirs": theirs(options.environment, lanes), "ours": ours(options.environment, lanes)}
        for round_ in range(-2, options.rounds):  # two rounds to compile and to warm up
            for side, (run, carry) in sides.items():
                wall, cpu = time.perf_counter(), time.process_time()
                carry, _ = jax.block_until_ready(run(carry, jax.random.key(round_ + 2)))
                if round_ >= 0:
                    seconds[side].append((time.process_time() - cpu, time.perf_counter() - wall))
                sides[side] = run, carry
        cpu, wall = (
            [statistics.median(each[clock] for each in seconds[side]) for side in ("ours", "theirs")]
            for clock in (0, 1)
        )
        rate = [lanes * LENGTH / each / 1e6 for each in cpu]
        print(
            f"{lanes:5} environments: {rate[0]:6.2f} M steps a CPU second, gymnax {rate[1]:6.2f}; "
            f"ours / gymnax's {cpu[0] / cpu[1]:.2f} CPU, {wall[0] / wall[1]:.2f} wall"
        )


if __name__ == "__main__":
    main()
