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


@dataclass(frozen=True)
class LayerRow:
    """One operation of a network."""

    name: str
    """Path in the module tree."""
    operation: str
    """Layer type or torch function."""
    kind: Kind | None
    """How far to trust it; None if there is no rule, or none needed."""
    assumption: str
    """What must hold for the moments to be exact, the size of the error, or what to do."""


@dataclass(frozen=True)
class Explanation:
    """The operations of a network; prints as a table."""

    rows: tuple[LayerRow, ...]

    def __iter__(self) -> Iterator[LayerRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        cells = [("name", "operation", "kind", "assumption")]
        cells += [
            (row.name, row.operation, row.kind.value if row.kind else "-", row.assumption)
            for row in self.rows
        ]
        widths = [max(len(line[column]) for line in cells) for column in range(3)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]])
            for line in cells
        ]
        return "\n".join([*lines, "", "E exact, I independent inputs, G Gaussian inputs, A approximate"])


def explain(module: nn.Module, *inputs: Any) -> Explanation:
    """Lists the operations of a network with the kind and assumption of their moments.

    Without inputs, the layers of the module tree: what a forward of your own does between them cannot be
    seen.
    With inputs, at least one of them a random variable, the network is run once in evaluation mode and every
    torch
    function that meets a variable is listed in order; give the unconverted network, whose layers call torch
    functions.

    Raises:
        UnsupportedRVOp: with inputs, an operation has no rule.
    """
    return Explanation(tuple(_called(module, inputs) if inputs else _layers(module)))


def _layers(module: nn.Module) -> Iterator[LayerRow]:
    fused = _fused(module)
    for name, child in module.named_modules():
        plain = plain_type(child)
        twin = twin_type(plain)
        if child in fused:
            yield LayerRow(
                name,
                plain.__name__,
                Kind.INDEPENDENCE,
                f"to_rv runs it together with {fused[child]}: copies are accounted for",
            )
        elif twin is not None:
            yield LayerRow(name, plain.__name__, twin.rule.kind, twin.rule.assumption)
        elif needs_rule(child):
            yield LayerRow(
                name, plain.__name__, None, f"no rule: register one with @rv.register_rv({plain.__name__})"
            )
        elif not plain.__module__.startswith("torch.nn") and not isinstance(child, nn.Sequential):
            yield LayerRow(
                name,
                plain.__name__,
                None,
                "its own forward: explain(module, example) lists the functions it calls",
            )


def _fused(module: nn.Module) -> dict[nn.Module, str]:
    """Maps upsampling and convolution layers that to_rv joins to the name of their partner."""
    partners: dict[nn.Module, str] = {}
    for name, child in module.named_modules():
        if type(child) in (nn.Sequential, RVSequential) and getattr(child, "fuses", True):
            layers = list(child.named_children())
            for (first_name, first), (second_name, second) in pairwise(layers):
                if fused_scale(first, second) is not None:
                    partners[first], partners[second] = (
                        f"{name}.{second_name}".strip("."),
                        f"{name}.{first_name}".strip("."),
                    )
    return partners


def _called(module: nn.Module, inputs: tuple[Any, ...]) -> Iterator[LayerRow]:
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
