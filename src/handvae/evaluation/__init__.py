"""Metrics that name their protocol."""
