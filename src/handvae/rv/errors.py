"""The one error of the algebra: an operation that has no rule for random variables."""

import sys
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.overrides import resolve_name


class UnsupportedRVOp(TypeError):
    """A function or layer has no rule for random variables; it is never run on the mean instead.

    Args:
        operation: what has no rule, for example "torch.fft.fft" or "Bilinear".
        path: where in the module tree it stands, empty if unknown.
        remedy: what to do about it, for example the line that would add a rule.
    """

    def __init__(self, operation: str, path: str, remedy: str) -> None:
        self.operation, self.path, self.remedy = operation, path, remedy
        place = f" at {path}" if path else ""
        super().__init__(f"{operation}{place} has no rule for these random variables: {remedy}")


def unsupported_function(function: Callable[..., Any], reason: str = "") -> UnsupportedRVOp:
    """Returns the error for a torch function, with the calling module if the call stack shows one."""
    label = function_label(function)
    remedy = f"add one with @rv.register_function({label}) on a function of the same arguments"
    if reason:
        remedy = f"{reason}; or {remedy}"
    return UnsupportedRVOp(label, calling_module(), remedy)


def unsupported_module(module: nn.Module, path: str) -> UnsupportedRVOp:
    """Returns the error for a leaf layer without a rule."""
    kind = type(module).__name__
    remedy = (
        f"add one with @rv.register_rv({kind}) on a function (module, x), "
        "or pass strict=False and let its functions be dispatched"
    )
    return UnsupportedRVOp(kind, path, remedy)


def function_label(function: Callable[..., Any]) -> str:
    """Names a torch function as in source code, for example "torch.nn.functional.relu" or "Tensor.add"."""
    public = resolve_name(function)
    if public:
        return public

    # torch knows no public name for functions that it does not list as overridable
    home = getattr(function, "__module__", None) or "torch"
    name = getattr(function, "__name__", repr(function))
    return f"{home}.{name}"


def calling_module() -> str:
    """Names the innermost module on the call stack by its path below the outermost one.

    The walk over the stack is slow; only errors and recorded calls pay for it.
    """
    inner: nn.Module | None = None
    outer: nn.Module | None = None
    frame = sys._getframe(1)

    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            inner = inner or owner
            outer = owner
        frame = frame.f_back

    if inner is None or outer is None:
        return ""

    path = next((name for name, child in outer.named_modules() if child is inner), "")
    kind = type(inner).__name__
    return f"{path} ({kind})" if path else kind
