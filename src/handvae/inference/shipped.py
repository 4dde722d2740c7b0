"""Names of the shipped models that are used where the caller names none; imports nothing heavy."""

GENERATOR = "photos-128"
"""Makes pictures: the one whose pictures are best."""
DETECTOR = "detector-64"
"""Reads photos."""
LIFTER = "lifting"
"""Reads 3D joints from 2D joints."""
