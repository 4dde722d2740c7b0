"""What a model does, as graphs that run without this package: joints read, appearances read, pictures made.

A graph takes a fixed number of hands. Numbers that a system draws in order to read (samples of its posterior)
are constants of the graph.
"""

import io
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from handvae import __version__
from handvae.choices import ExportTarget
from handvae.data.hands import Hands
from handvae.errors import UserError
from handvae.hand import JOINT_NAMES, LEFT, RIGHT
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae
from handvae.systems.hand_finder import STRIDE, HandFinder
from handvae.systems.hand_reader import HandReader
from handvae.systems.system import Generator, Input, PoseEstimator, System
from handvae.training.appearances import read_named_appearances
from handvae.training.checkpoint import Model

LARGEST_DIFFERENCE = 1e-3
"""How far a graph's answers may lie from its model's, in crop units, bone units or shares of white."""
RANDOM_APPEARANCES = 64
"""Random appearances that are written down."""

Port = tuple[Tensor, str]
"""An example of an input, and what it means."""


@dataclass(frozen=True)
class Part:
    """One thing that a model does."""

    name: str
    module: nn.Module
    """Takes the inputs and gives the outputs, each in its order."""
    inputs: Mapping[str, Port]
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

    def forward(self, values: Tensor, *more: Tensor) -> tuple[Tensor, Tensor]:
        """Joints and spread of crops, or of 2D joints.

        Args:
            values: crops, or 2D joints.
            more: for 2D joints, which of them are known; then the sides, if the model wants them.
        """
        fields: dict[str, Tensor] = {self.kind: values}
        names = ("joint_valid", "side") if self.kind == "joints_2d" else ("side",)
        for name, value in zip(names, more, strict=False):
            fields[name] = value

        prediction = self.system.predict(Hands(**fields), (self.kind,))
        return prediction.joints, prediction.spread


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


class Observe(nn.Module):
    """Everything that a reader sees in crops."""

    def __init__(self, system: HandReader) -> None:
        super().__init__()
        self.system = system

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See `HandReader.observe`."""
        seen = self.system.observe(image)
        return seen.joints, seen.spread, seen.right, seen.present


class Look(nn.Module):
    """The maps of a finder."""

    def __init__(self, system: HandFinder) -> None:
        super().__init__()
        self.system = system

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See `HandFinder.look_twice`; the first map as probabilities."""
        maps = self.system.look_twice(image)
        return maps.heat.sigmoid(), maps.offset, maps.log_size, maps.direction, maps.side.sigmoid()


# ----------------------------------------------------------------------------------------- what a model does


def parts_of(system: System, batch: int, seed: int = 0) -> list[Part]:
    """Everything that a model does, for a fixed number of hands; the seed draws the examples.

    Raises:
        UserError: it does nothing that can be exported.
    """
    noise = Noise(seed)
    size = system.crop.size_px
    image = noise.uniform(batch, 3, size, size)
    match system:
        case HandFinder():
            return [_finder_part(system, image)]
        case HandReader():
            return [_reader_part(system, image)]
        case PoseEstimator():
            return _estimator_parts(system, batch, seed)
        case _:
            fault = f"a {type(system).__name__} reads no poses and makes no pictures"
            raise UserError("model", fault, "give one of those that `handvae models` lists")


def _finder_part(system: HandFinder, image: Tensor) -> Part:
    return Part(
        name="find",
        module=Look(system),
        inputs={"image": (image, "RGB pictures in [0, 1], scaled to fit; their border is repeated outwards")},
        outputs={
            "heat": f"probability of a hand's middle, a cell of {STRIDE} px; hands are its peaks",
            "offset": "x and y from the cell's middle to the hand's, cells",
            "log_size": "logarithm of width and height of the joints' box, over the picture's side",
            "direction": "cosine and sine of the angle from the wrist to the middle finger's MCP",
            "right": "probability of a right hand",
        },
    )


def _reader_part(system: HandReader, image: Tensor) -> Part:
    axes = "x and y in crop units, z relative to the wrist in bone units"
    return Part(
        name="read_image",
        module=Observe(system),
        inputs={"image": (image, "RGB crops in [0, 1], of either hand, not mirrored")},
        outputs={
            "joints": axes,
            "spread": f"standard deviations, {axes}",
            "right": "probability of a right hand",
            "present": "probability of a hand",
        },
    )


def _estimator_parts(system: PoseEstimator, batch: int, seed: int) -> list[Part]:
    noise = Noise(seed)
    size = system.crop.size_px
    pose_unit = "crop units" if system.pose == "2d" else f"bone units, from the {system.root}"
    spread = f"standard deviation of each coordinate, {pose_unit.split(',')[0]}"
    outputs = {"joints": pose_unit, "spread": spread}

    # Examples are drawn for every input, used or not, so that each seed draws the same numbers
    crops = noise.uniform(batch, 3, size, size), "RGB crops in [0, 1]"
    inputs = _inputs(system, batch, noise, crops)
    side: dict[str, Port] = {}
    if isinstance(system, CmVae) and system.config.side_given:
        side["side"] = (torch.arange(batch) + seed) % 2, f"{LEFT} left, {RIGHT} right"

    parts = [Part(f"read_{kind}", Read(system, kind), inputs[kind] | side, outputs) for kind in system.inputs]
    if isinstance(system, Generator):
        parts += _generator_parts(system, batch, noise, crops, pose_unit)

    return parts


def _inputs(system: PoseEstimator, batch: int, noise: Noise, crops: Port) -> dict[Input, dict[str, Port]]:
    """The inputs of each way to read a pose."""
    size, count = system.crop.size_px, system.spec.joints
    depth = noise.uniform(batch, 1, size, size, low=400, high=500)
    joints = noise.uniform(batch, count, 2, high=size)
    known = noise.uniform(batch, count) < 0.8
    return {
        "image": {"image": crops},
        "depth": {"depth": (depth, "crops of depth in mm, 0 where unknown")},
        "joints_2d": {
            "joints_2d": (joints, "pixels of the crop"),
            "known": (known, "which joints are known"),
        },
    }


def _generator_parts(system: Generator, batch: int, noise: Noise, crops: Port, pose_unit: str) -> list[Part]:
    """What a model that makes pictures does besides."""
    appearance = system.random_appearance(batch, noise)
    joints = noise.uniform(batch, system.spec.joints, 2 if system.pose == "2d" else 3, low=-1)
    return [
        Part(
            name="read_appearance",
            module=ReadAppearance(system),
            inputs={"image": crops},
            outputs={"appearance": "the appearance of the crops"},
        ),
        Part(
            name="synthesize",
            module=Synthesize(system),
            inputs={
                "joints": (joints, pose_unit),
                "appearance": (appearance, "as read_appearance gives it, or one of those listed here"),
            },
            outputs={"image": "RGB pictures in [0, 1]"},
        ),
    ]


def describe(
    model: Model, parts: Sequence[Part], target: ExportTarget, differences: Mapping[str, float]
) -> dict[str, Any]:
    """What a user of the files has to know, as JSON.

    Args:
        model: was exported.
        parts: were written.
        target: the format.
        differences: how far each part's answers lie from the model's, at most, by its name.
    """
    system = model.system
    scales = system.spread_scales if isinstance(system, PoseEstimator) else {}
    files = {}
    for part in parts:
        files[f"{part.name}.{target}"] = _ports(part) | {"largest_difference": differences[part.name]}

    about: dict[str, Any] = {
        "handvae": __version__,
        "model": model.name,
        "system": model.header.system,
        "crop": asdict(system.crop),
        "sides": system.spec.sides,
        "joint_names": JOINT_NAMES if system.spec.joints == len(JOINT_NAMES) else system.spec.joint_names,
        "spread_calibrated_on": {name: scale.fitted_on for name, scale in scales.items()},
        "files": files,
    }
    if isinstance(system, Generator):
        named = read_named_appearances(model).items()
        about["appearances"] = {name: entry.appearance.tolist() for name, entry in named}
        drawn = system.random_appearance(RANDOM_APPEARANCES, Noise(0), "aggregate")
        about["random_appearances"] = drawn.tolist()

    return about


def _ports(part: Part) -> dict[str, Any]:
    """Inputs and outputs of a part, as JSON."""
    inputs = {}
    for name, (value, meaning) in part.inputs.items():
        kind = str(value.dtype).removeprefix("torch.")
        inputs[name] = {"shape": list(value.shape), "type": kind, "is": meaning}
    return {"inputs": inputs, "outputs": dict(part.outputs)}


# ------------------------------------------------------------------------------------------- graphs as files


class _SameDraws(TorchFunctionMode):
    """The first call's random numbers, at every call: a graph traced inside holds them as constants."""

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


def write_graph(part: Part, target: ExportTarget, path: Path, other: tuple[Tensor, ...]) -> float:
    """Write a part, read it back and run it on other inputs than it was traced with.

    Args:
        part: what is written.
        target: the format.
        path: of the file.
        other: inputs.

    Returns:
        The largest difference from the model's answers to these inputs.

    Raises:
        UserError: the part cannot be written in this format, or answers otherwise than the model.
    """
    with torch.no_grad(), _SameDraws(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about itself
        expected = _as_tuple(part.module(*other))
        program = torch.export.export(part.module, part.example)

        match target:
            case "onnx":
                answers = _as_onnx(part, program, path, other)
            case "pt2":
                answers = _as_pt2(program, path, other)

    differences = [(one - two).abs().max() for one, two in zip(expected, answers, strict=True)]
    largest = max(float(difference) for difference in differences)
    if not largest <= LARGEST_DIFFERENCE:  # NaN too
        fault = f"its answers differ from the model's by {largest:.2g}"
        raise UserError(path.name, fault, "export it another way, with --to")

    return largest


def _as_tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _as_pt2(program: ExportedProgram, path: Path, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Write a PyTorch file; gives its answers."""
    # in memory first: on a full disk PyTorch's own writer would end the whole process
    content = io.BytesIO()
    torch.export.save(program, content)
    path.write_bytes(content.getvalue())
    return _as_tuple(torch.export.load(path).module()(*inputs))


def require_onnx() -> None:
    """Refuse to begin where the packages that write and run ONNX files are not installed.

    Raises:
        UserError: one of them is missing.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        fault = f"needs {error.name}, which is not installed"
        raise UserError("--to onnx", fault, 'install it: pip install "handvae[export]"') from error

    onnxruntime.set_default_logger_severity(3)  # errors


def _as_onnx(
    part: Part, program: ExportedProgram, path: Path, inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Write an ONNX file; gives its answers.

    Raises:
        UserError: ONNX lacks an operation of the graph.
    """
    import onnxruntime

    # The exporter would warn about packages that are not needed here
    logging.getLogger("torch.onnx._internal.exporter").setLevel(logging.ERROR)
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
    named = {name: value.numpy() for name, value in zip(part.inputs, inputs, strict=True)}
    answers = session.run(list(part.outputs), named)
    return tuple(torch.as_tensor(answer) for answer in answers)
