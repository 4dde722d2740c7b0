"""Fixtures of these tests."""

from bright_hands import search  # noqa: F401  a fixture
