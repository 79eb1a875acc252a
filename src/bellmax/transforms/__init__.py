"""Invertible maps of values and actions, and the moments by which values are normalised.

A value transform is a pair, `ValueTransform(apply, invert)`. Moments are pytrees: they are updated by pure functions, and
merged by count across devices.
"""

