"""The table of a network: name, operation, kind and assumption of every layer or call."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from handvae.rv.convert import RVSequential, fused_scale, needs_rule, plain_type
from handvae.rv.registry import twin_type
from handvae.rv.rules import Kind, recorded_calls

_HEADER = ("name", "operation", "kind", "assumption")
_LEGEND = "E exact, I independent inputs, G Gaussian inputs, A approximate"


@dataclass(frozen=True)
class LayerRow:
    """One operation of a network: a layer, or a call of a torch function."""

    name: str
    """Path in the module tree."""
    operation: str
    """Layer type or torch function."""
    kind: Kind | None
    """How far to trust it; None if there is no rule, or none needed."""
    assumption: str
    """Condition under which the moments are exact, the size of the error, or what to do."""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text, "-" where there is no kind."""
        return self.name, self.operation, self.kind.value if self.kind else "-", self.assumption


@dataclass(frozen=True)
class Explanation:
    """The operations of a network; prints as a table."""

    rows: tuple[LayerRow, ...]

    def __iter__(self) -> Iterator[LayerRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        table = [_HEADER, *(row.cells for row in self.rows)]

        # the last column, the assumption, is not padded
        widths = [max(len(cells[column]) for cells in table) for column in range(3)]
        lines = []
        for cells in table:
            padded = [cell.ljust(width) for cell, width in zip(cells[:3], widths, strict=True)]
            lines.append("  ".join([*padded, cells[3]]))
        return "\n".join([*lines, "", _LEGEND])


def explain(module: nn.Module, *inputs: Any) -> Explanation:
    """Lists the operations of a network with the kind and assumption of their moments.

    Without inputs it lists the layers of the module tree; it cannot see what a forward of your own computes
    between them. With inputs, at least one of them a random variable, it runs the network once in evaluation
    mode and lists in order every torch function that meets a variable; give the unconverted network, whose
    layers call torch functions.

    Raises:
        UnsupportedRVOp: with inputs, an operation has no rule.
    """
    return Explanation(tuple(_calls(module, inputs) if inputs else _layers(module)))


def _layers(module: nn.Module) -> Iterator[LayerRow]:
    partners = _fused_partners(module)
    for name, child in module.named_modules():
        plain = plain_type(child)
        operation = plain.__name__
        twin = twin_type(plain)

        if child in partners:
            note = f"to_rv runs it together with {partners[child]}: copies are accounted for"
            yield LayerRow(name, operation, Kind.INDEPENDENCE, note)
        elif twin is not None:
            yield LayerRow(name, operation, twin.rule.kind, twin.rule.assumption)
        elif needs_rule(child):
            yield LayerRow(name, operation, None, f"no rule: register one with @rv.register_rv({operation})")
        elif not plain.__module__.startswith("torch.nn") and not isinstance(child, nn.Sequential):
            note = "its own forward: explain(module, example) lists the functions it calls"
            yield LayerRow(name, operation, None, note)


def _fused_partners(module: nn.Module) -> dict[nn.Module, str]:
    """Maps upsampling and convolution layers that to_rv joins to the name of their partner."""
    partners: dict[nn.Module, str] = {}
    for name, child in module.named_modules():
        if type(child) not in (nn.Sequential, RVSequential):
            continue
        if isinstance(child, RVSequential) and not child.fuses:
            continue

        for (first_name, first), (second_name, second) in pairwise(child.named_children()):
            if fused_scale(first, second) is not None:
                partners[first] = f"{name}.{second_name}".strip(".")
                partners[second] = f"{name}.{first_name}".strip(".")

    return partners


def _calls(module: nn.Module, inputs: tuple[Any, ...]) -> Iterator[LayerRow]:
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), recorded_calls() as calls:
            module(*inputs)
    finally:
        for child, training in modes.items():
            child.training = training

    for call in calls:
        yield LayerRow(call.path, call.function, call.rule.kind, call.rule.assumption)
