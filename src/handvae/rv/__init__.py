"""Moment propagation through PyTorch networks: random variables as values. Knows nothing of hands."""

from handvae.rv import functional
from handvae.rv.antithetic import antithetic
from handvae.rv.calibration import CalibrationReport, calibrate
from handvae.rv.compat import OFFICIAL, Compatibility
from handvae.rv.convert import to_rv, upsample_conv2d
from handvae.rv.errors import UnsupportedRVOp
from handvae.rv.explain import Explanation, LayerRow, explain
from handvae.rv.functional.moments import round_variances
from handvae.rv.functional.tiles import fuse_chains
from handvae.rv.registry import register_rv
from handvae.rv.rules import Kind, register_function
from handvae.rv.variable import RandomVariable, cat

__all__ = [
    "OFFICIAL",
    "CalibrationReport",
    "Compatibility",
    "Explanation",
    "Kind",
    "LayerRow",
    "RandomVariable",
    "UnsupportedRVOp",
    "antithetic",
    "calibrate",
    "cat",
    "explain",
    "functional",
    "fuse_chains",
    "register_function",
    "register_rv",
    "round_variances",
    "to_rv",
    "upsample_conv2d",
]
