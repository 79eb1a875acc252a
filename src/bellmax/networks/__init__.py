"""Equinox modules, each written for one example: batch them with `jax.vmap`."""

from ._mlp import MLP as MLP
