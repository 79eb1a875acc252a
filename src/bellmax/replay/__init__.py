"""Memory of transitions."""

from ._uniform import UniformReplay as UniformReplay
