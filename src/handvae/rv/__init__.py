"""Moment propagation through PyTorch networks: random variables as values. Knows nothing of hands."""

from handvae.rv import functional
from handvae.rv.convert import to_rv, upsample_conv2d
from handvae.rv.errors import UnsupportedRVOp
from handvae.rv.registry import register_rv
from handvae.rv.rules import Kind, register_function
from handvae.rv.variable import RandomVariable, cat

__all__ = ["Kind", "RandomVariable", "UnsupportedRVOp", "cat", "functional", "register_function", "register_rv", "to_rv", "upsample_conv2d"]
