"""Values as distributions: categorical ones over fixed atoms, quantiles with free ones.

Nothing here stops a gradient. Atoms and quantiles are the last axis.
"""

