"""The one error of the algebra: an operation whose moments nobody has written down."""

import sys
from collections.abc import Callable
from typing import Any

from torch import nn


class UnsupportedRVOp(TypeError):
    """A function or layer has no rule for random variables; it is never run on the mean instead.

    Args:
        operation: what has no rule, for example "torch.fft.fft" or "nn.Bilinear".
        path: where in the module tree it stands, empty if unknown.
        remedy: the line of code that would add a rule.
    """

    def __init__(self, operation: str, path: str, remedy: str) -> None:
        self.operation, self.path, self.remedy = operation, path, remedy
        place = f" at {path}" if path else ""
        super().__init__(f"{operation}{place} has no rule for random variables; {remedy}")


def unsupported_function(function: Callable[..., Any]) -> UnsupportedRVOp:
    """Returns the error for a torch function, with the module that called it where the call stack shows one."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None) or repr(function)
    home = getattr(function, "__module__", None)
    label = f"{home}.{name}" if home else name
    return UnsupportedRVOp(label, _calling_module(), f"add one with @rv.register_function(<{name}>) on a function of the same arguments")


def unsupported_module(module: nn.Module, path: str) -> UnsupportedRVOp:
    """Returns the error for a leaf layer without a rule."""
    kind = type(module).__name__
    remedy = f"add one with @rv.register_rv({kind}) on a function (module, x), or pass strict=False and let its functions be dispatched"
    return UnsupportedRVOp(kind, path, remedy)


def _calling_module() -> str:
    """Names the innermost module on the call stack by its path below the outermost one; only errors pay for this walk."""
    inner: nn.Module | None = None
    outer: nn.Module | None = None
    frame = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            inner, outer = inner or owner, owner
        frame = frame.f_back
    if inner is None or outer is None:
        return ""
    path = next((name for name, child in outer.named_modules() if child is inner), "")
    kind = type(inner).__name__
    return f"{path} ({kind})" if path else kind
