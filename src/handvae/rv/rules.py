"""The table of torch functions that have a rule, and the dispatcher that consults it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch.utils import _pytree as pytree

from handvae.rv.errors import calling_module, function_label, unsupported_function


class Kind(Enum):
    """How far the moments of one operation can be trusted."""

    EXACT = "E"
    """The marginal moments are exact."""
    INDEPENDENCE = "I"
    """Exact for independent inputs."""
    GAUSSIAN = "G"
    """Exact, or to the stated error, for Gaussian inputs."""
    APPROXIMATE = "A"
    """Approximate, for the stated reason."""


@dataclass(frozen=True)
class FunctionRule:
    """How one torch function acts on random variables."""

    apply: Callable[..., Any]
    """Function with the arguments of the torch function, some of them random variables."""
    kind: Kind
    """How far to trust it."""
    assumption: str
    """Condition under which the moments are exact, or the size of the error."""
    takes_dirac: bool
    """Whether `apply` also gets known variables, because the function makes them random."""
    anywhere: bool
    """Whether a variable may stand elsewhere than in the first argument."""


@dataclass(frozen=True)
class Call:
    """One torch function that was called on a variable."""

    function: str
    path: str
    rule: FunctionRule


_FUNCTIONS: dict[Callable[..., Any], FunctionRule] = {}
_recorder: list[Call] | None = None


def register_function(
    *functions: Callable[..., Any],
    kind: Kind = Kind.APPROXIMATE,
    assumption: str = "registered by the user",
    takes_dirac: bool = False,
    anywhere: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function as the rule of these torch functions; it takes the same arguments.

    Args:
        functions: torch functions or Tensor methods, such as `F.relu` and `torch.Tensor.relu`.
        kind: how far to trust the moments.
        assumption: condition under which they are exact.
        takes_dirac: pass known variables as well; otherwise the torch function itself runs on their values.
        anywhere: accept variables in other arguments than the first.
    """

    def register(apply: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            _FUNCTIONS[function] = FunctionRule(apply, kind, assumption, takes_dirac, anywhere)
        return apply

    return register


def dispatch(
    variable_type: type[Any], function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Runs the rule of `function`.

    Raises:
        UnsupportedRVOp: it has no rule, or a variable stands where the rule needs a known tensor.
    """
    rule = _FUNCTIONS.get(function)
    if rule is None:
        raise unsupported_function(function)

    def is_variable(value: Any) -> bool:
        return isinstance(value, variable_type)

    # Most rules know one variable, the first argument; one in any other place would be read as a tensor.
    values = pytree.tree_leaves((args, kwargs), is_leaf=is_variable)
    variables = [value for value in values if is_variable(value)]
    stands_first = bool(args) and is_variable(args[0])
    if not rule.anywhere and (len(variables) > 1 or not stands_first):
        raise unsupported_function(function, "it takes one random variable, as its first argument")

    record(function)
    if kwargs.get("inplace"):
        kwargs = {**kwargs, "inplace": False}  # variables are immutable

    # Known numbers run through torch itself, bit for bit.
    all_known = all(variable.var is None for variable in variables)
    if all_known and not rule.takes_dirac:
        args, kwargs = pytree.tree_map(
            lambda value: value.mean if is_variable(value) else value, (args, kwargs), is_leaf=is_variable
        )
        return pytree.tree_map(variable_type, function(*args, **kwargs))

    return rule.apply(*args, **kwargs)


def record(function: Callable[..., Any]) -> None:
    """Adds a call of `function` to the open recording, if any; operators, which skip dispatch, do too."""
    if _recorder is not None:
        _recorder.append(Call(function_label(function), calling_module(), _FUNCTIONS[function]))


@contextmanager
def recorded_calls() -> Iterator[list[Call]]:
    """Collects the torch functions that are called on variables inside the block, in any thread."""
    global _recorder
    before, _recorder = _recorder, []
    try:
        yield _recorder
    finally:
        _recorder = before
