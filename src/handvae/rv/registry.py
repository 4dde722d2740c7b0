"""The table of layer types that have a rule, and how to add one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from handvae.rv.rules import Kind
from handvae.rv.variable import RandomVariable

LayerMoments = Callable[[Any, RandomVariable], RandomVariable]


@dataclass(frozen=True)
class LayerRule:
    """How one layer type acts on a random variable."""

    moments: LayerMoments
    """Function (module, x) for an x with variance."""
    kind: Kind
    """How far to trust it."""
    assumption: str
    """Condition under which the moments are exact, or the size of the error."""
    takes_dirac: bool
    """Whether `moments` also gets known inputs, because the layer makes them random."""


class RVLeaf(nn.Module):
    """Mixed in before a layer type: random variables take the rule, all else the layer's own kernels."""

    rule: LayerRule
    plain_type: type[nn.Module]

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Runs the plain layer on tensors and on known variables, its moments on random ones."""
        if not isinstance(x, RandomVariable):
            return super().forward(x, *args, **kwargs)

        if x.var is None and not self.rule.takes_dirac:
            # variables are immutable, so a layer that overwrites its input gets a copy
            value = x.mean.clone() if getattr(self, "inplace", False) else x.mean
            return RandomVariable(super().forward(value, *args, **kwargs))

        return self.rule.moments(self, x, *args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is made at registration, so pickle and deepcopy find it through the plain type.
        return _empty_twin, (self.plain_type,), self.__dict__


_LAYERS: dict[type[nn.Module], type[RVLeaf]] = {}


def register_rv(
    *plain_types: type[nn.Module],
    kind: Kind = Kind.APPROXIMATE,
    assumption: str = "registered by the user",
    takes_dirac: bool = False,
) -> Callable[[LayerMoments], LayerMoments]:
    """Registers a function (module, x) -> RandomVariable as the rule of layers of exactly these types.

    Subclasses are not included: they may compute something else.
    """

    def register(moments: LayerMoments) -> LayerMoments:
        for plain in plain_types:
            members = {
                "rule": LayerRule(moments, kind, assumption, takes_dirac),
                "plain_type": plain,
                "__module__": __name__,
            }
            _LAYERS[plain] = type(f"RV{plain.__name__}", (RVLeaf, plain), members)
        return moments

    return register


def twin_type(plain: type[nn.Module]) -> type[RVLeaf] | None:
    """Returns the class that runs a layer type on random variables, None if it has no rule."""
    return _LAYERS.get(plain)


def _empty_twin(plain: type[nn.Module]) -> nn.Module:
    return object.__new__(_LAYERS[plain])
