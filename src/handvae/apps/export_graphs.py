"""What a model does, as graphs that run without this package: joints read, appearances read, pictures made.

A graph takes a fixed number of hands. Numbers that a system draws in order to read (samples of its posterior)
are constants of the graph.
"""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae
from handvae.systems.system import Generator, Input, PoseEstimator

Target = Literal["onnx", "pt2"]
CLOSE = 1e-3
"""How far a graph may answer from its model, in crop units, bone units or shares of white."""


@dataclass(frozen=True)
class Part:
    """One thing that a model does."""

    name: str
    module: nn.Module
    """Takes the inputs and gives the outputs, each in its order."""
    inputs: Mapping[str, tuple[Tensor, str]]
    """An example of each, and what it means."""
    outputs: Mapping[str, str]
    """What each means."""

    @property
    def example(self) -> tuple[Tensor, ...]:
        """The examples of its inputs."""
        return tuple(value for value, _ in self.inputs.values())


class Read(nn.Module):
    """Joints and their spread, from one kind of input."""

    kind: Input

    def __init__(self, system: PoseEstimator, kind: Input) -> None:
        super().__init__()
        self.system, self.kind = system, kind

    def forward(self, seen: Tensor, *told: Tensor) -> tuple[Tensor, Tensor]:
        """Of crops, or of joints and which are known; then the side, if the model is to be told."""
        known, side = (told[:1], told[1:]) if self.kind == "joints_2d" else ((), told)
        fields: dict[str, Tensor] = (
            {self.kind: seen}
            | ({"joint_valid": known[0]} if known else {})
            | ({"side": side[0]} if side else {})
        )
        found = self.system.predict(Hands(**fields), (self.kind,))
        return found.joints, found.spread


class ReadAppearance(nn.Module):
    """The appearance of crops."""

    def __init__(self, system: Generator) -> None:
        super().__init__()
        self.system = system

    def forward(self, image: Tensor) -> Tensor:
        """See `Generator.appearance_of`."""
        return self.system.appearance_of(image)


class Synthesize(nn.Module):
    """Pictures of poses."""

    def __init__(self, system: Generator) -> None:
        super().__init__()
        self.system = system

    def forward(self, joints: Tensor, appearance: Tensor) -> Tensor:
        """See `Generator.synthesize`."""
        return self.system.synthesize(joints, appearance)


def parts_of(system: PoseEstimator, batch: int, seed: int = 0) -> list[Part]:
    """Everything that a model does, for so many hands at once; the examples are drawn by the seed."""
    noise, size, count = Noise(seed), system.crop.size_px, system.spec.joints
    unit = "crop units" if system.pose == "2d" else f"bone units, from the {system.root}"
    crops = noise.uniform(batch, 3, size, size), "RGB crops in [0, 1]"
    sided = isinstance(system, CmVae) and system.config.side_given
    side = {"side": ((torch.arange(batch) + seed) % 2, f"{LEFT} left, {RIGHT} right")} if sided else {}
    seen: dict[Input, dict[str, tuple[Tensor, str]]] = {
        "image": {"image": crops},
        "depth": {
            "depth": (
                noise.uniform(batch, 1, size, size, low=400, high=500),
                "crops of depth in mm, 0 where unknown",
            )
        },
        "joints_2d": {
            "joints_2d": (noise.uniform(batch, count, 2, high=size), "pixels of the crop"),
            "known": (noise.uniform(batch, count) < 0.8, "which joints are known"),
        },
    }
    answers = {"joints": unit, "spread": f"standard deviation of each coordinate, {unit.split(',')[0]}"}
    parts = [Part(f"read_{kind}", Read(system, kind), seen[kind] | side, answers) for kind in system.inputs]
    if isinstance(system, Generator):
        appearances = system.random_appearance(batch, noise)
        joints = noise.uniform(batch, count, 2 if system.pose == "2d" else 3, low=-1)
        asked = {
            "joints": (joints, unit),
            "appearance": (appearances, "as read_appearance gives it, or one of those listed here"),
        }
        parts.append(
            Part(
                "read_appearance",
                ReadAppearance(system),
                {"image": crops},
                {"appearance": "the looks of the crops"},
            )
        )
        parts.append(Part("synthesize", Synthesize(system), asked, {"image": "RGB pictures in [0, 1]"}))
    return parts


class _SameDraws(TorchFunctionMode):
    """The first call's random numbers, at every call: a graph that is traced inside holds them as
    constants."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: dict[tuple[int, ...], Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not torch.randn:
            return func(*args, **(kwargs or {}))
        if args not in self.drawn:
            self.drawn[args] = func(*args, **(kwargs or {}))
        return self.drawn[args]


def write_graph(part: Part, target: Target, path: Path, unseen: tuple[Tensor, ...]) -> float:
    """Write a part, read it back and run it on other inputs than it was traced with.

    Args:
        part: what is written.
        target: how.
        path: of the file.
        unseen: other inputs.

    Returns:
        How far it answers from the model there, at most.

    Raises:
        UserError: it cannot be written so, or answers otherwise than the model.
    """
    with torch.no_grad(), _SameDraws(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter about itself
        wanted = _as_tuple(part.module(*unseen))
        program = torch.export.export(part.module, part.example)
        answers = (
            _as_onnx(part, program, path, unseen) if target == "onnx" else _as_pt2(program, path, unseen)
        )
    apart = max(float((one - other).abs().max()) for one, other in zip(wanted, answers, strict=True))
    if not apart <= CLOSE:
        raise UserError(
            path.name, f"answers {apart:.2g} apart from the model", "export it another way, with --to"
        )
    return apart


def _as_tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _as_pt2(program: ExportedProgram, path: Path, unseen: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    torch.export.save(program, path)
    return _as_tuple(torch.export.load(path).module()(*unseen))


def need_onnx() -> None:
    """Refuse to begin where the packages that write and run ONNX files are not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (the exporter's)
    except ImportError as error:
        raise UserError(
            "--to onnx",
            f"needs {error.name}, which is not installed",
            'install it: pip install "handvae[export]"',
        ) from error
    onnxruntime.set_default_logger_severity(3)  # errors


def _as_onnx(
    part: Part, program: ExportedProgram, path: Path, unseen: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    import onnxruntime

    logging.getLogger("torch.onnx._internal.exporter").setLevel(
        logging.ERROR
    )  # else it tells of packages that nobody needs here
    try:
        written = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            external_data=False,
        )
    except torch.onnx.OnnxExporterError as error:
        fault = f"ONNX has no form for it ({str(error).strip().splitlines()[0]})"
        raise UserError(part.name, fault, "use --to pt2") from error
    assert written is not None
    written.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run(
        list(part.outputs), {name: value.numpy() for name, value in zip(part.inputs, unseen, strict=True)}
    )
    return tuple(torch.as_tensor(answer) for answer in answers)
