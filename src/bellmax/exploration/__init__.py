"""Bonuses for what is new: features and counts in, one intrinsic reward an example out."""

