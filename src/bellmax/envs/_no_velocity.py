"""Classic control without its velocities."""

from ._gymnax import GymnaxEnvironment, gymnax_names
from ._protocol import AbstractEnvironment
from .wrappers import HideObservation

NO_VELOCITY = {
    "AcrobotNoVel-v1": ("Acrobot-v1", (4, 5)),
    "CartPoleNoVel-v1": ("CartPole-v1", (1, 3)),
    "MountainCarContinuousNoVel-v0": ("MountainCarContinuous-v0", (1,)),
    "MountainCarNoVel-v0": ("MountainCar-v0", (1,)),
    "PendulumNoVel-v1": ("Pendulum-v1", (2,)),
}
"""The names of RL Baselines3 Zoo: the environment of each, and where its velocities stand."""


def gymnax_and_more() -> list[str]:
    """Lists the environments that gymnax registers, and those without velocities."""
    return [*gymnax_names(), *NO_VELOCITY]


def make_gymnax(name: str, **settings) -> AbstractEnvironment:
    """Makes an environment of gymnax, with its velocities hidden where the name says so."""
    plain, hidden = NO_VELOCITY.get(name, (name, ()))
    environment = GymnaxEnvironment.named(plain, **settings)
    return HideObservation(environment, hidden) if hidden else environment
