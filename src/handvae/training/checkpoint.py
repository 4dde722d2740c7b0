"""Models on disk: safetensors with everything needed to build the system again in the file's own header.
Never pickle.

A file is written beside its final name, flushed and renamed: it is there whole or not at all.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.errors import UserError
from handvae.files import write_atomically
from handvae.systems.build import CONFIGS, SystemConfig, build_system, system_name
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.spread import SpreadScale
from handvae.systems.system import Generator, PoseEstimator, System
from handvae.training.first_edition import MODELS, modernise_header

Kind = TypeVar("Kind")

FORMAT = 1
KEY = "handvae"
WEIGHTS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class Header:
    """What a model file says of itself."""

    system: str
    config: dict[str, Any]
    spec: dict[str, Any]
    crop: dict[str, Any]
    format: int = FORMAT
    steps: int = 0
    """Steps it was trained for."""
    preset: str = ""
    summary: dict[str, float] = field(default_factory=dict)
    """What the system measured on its training pictures, such as the moments of its latent."""
    spread_scales: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What calibrates the spread of the joints it reads, by what it reads; of files older than that,
    empty."""


@dataclass(frozen=True)
class Model:
    """A system read from disk, with what its file says."""

    system: System
    header: Header
    path: Path

    @property
    def name(self) -> str:
        """Short name for people."""
        return self.path.stem if self.path.parent == WEIGHTS else str(self.path)

    @property
    def reader(self) -> PoseEstimator:
        """The system, to read poses with.

        Raises:
            UserError: it reads none.
        """
        if not isinstance(self.system, PoseEstimator):
            raise UserError(
                self.path,
                f"is a {self.header.system}, which reads no poses from pictures",
                "give a model that does",
            )
        return self.system

    @property
    def generator(self) -> Generator:
        """The system, to make pictures with.

        Raises:
            UserError: it makes none.
        """
        if not isinstance(self.system, Generator):
            raise UserError(
                self.path,
                f"is a {self.header.system}, which makes no pictures",
                "give a model that does, such as photos-128",
            )
        return self.system


def save_model(
    path: Path,
    system: System,
    *,
    steps: int = 0,
    preset: str = "",
    summary: dict[str, float] | None = None,
    dtype: torch.dtype | None = None,
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write a model.

    Args:
        path: `.safetensors` file.
        system: gives the configuration and, without `state`, the weights.
        steps: steps it was trained for.
        preset: name of the preset it comes from.
        summary: see `Header.summary`.
        dtype: store floats in this type (float16 halves the file).
        state: weights to write instead of the system's present ones.
    """
    kept = system.spread_scales if isinstance(system, PoseEstimator) and state is None else {}
    config, spec, crop = (asdict(part) for part in (system.config, system.spec, system.crop))
    header = Header(
        system_name(system.config), config, spec, crop, FORMAT, steps, preset, summary or {}, _as_dicts(kept)
    )
    tensors = {}
    for name, tensor in (state or system.state_dict()).items():
        kept = tensor.detach().to(
            "cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        )
        tensors[name] = kept.clone(memory_format=torch.contiguous_format)
    write_atomically(
        path, lambda beside: save_file(tensors, beside, metadata={KEY: json.dumps(asdict(header))})
    )


def keep_spread_scales(model: Model, scales: Mapping[str, SpreadScale]) -> None:
    """Write a model's file again with these scales, in place of any it had; all else stays as it is, the
    weights bit for bit.

    Raises:
        UserError: the file cannot be written; it is then as it was.
    """
    path = model.path.resolve()  # what a link points at
    header = replace(model.header, spread_scales=_as_dicts(scales))
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() | {KEY: json.dumps(asdict(header))}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        write_atomically(path, lambda beside: save_file(tensors, beside, metadata=metadata))
    except (SafetensorError, OSError) as error:
        raise UserError(
            path, f"cannot be written again ({error})", "copy it to where there is room and leave to write"
        ) from error


def find_model(name: str) -> Path:
    """The file that a user means: a shipped model's name, a `.safetensors` file, or a run folder."""
    shipped_name = MODELS.get(name, name)
    for path in (WEIGHTS / f"{shipped_name}.safetensors", Path(name), Path(name) / "model.safetensors"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))) or "none"
    raise UserError(
        name, "no such model", f"give a shipped one ({shipped}), a .safetensors file or a run folder"
    )


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Model:
    """Read a model and put it at rest (eval mode, float32, channels last).

    Raises:
        UserError: the file is missing, truncated, foreign, or of another version.
    """
    path = find_model(str(name))
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            header = _read_header(path, metadata)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(
            path, f"is damaged or not a safetensors file ({error})", "fetch or train the model again"
        ) from error
    try:
        system = build_system(_config(header), _checked(DataSpec, header.spec), _checked(Crop, header.crop))
    except (ValueError, TypeError, RuntimeError, LookupError, MemoryError) as error:
        raise UserError(
            path, f"header field {_said('', error)}", "read it with the version that wrote it"
        ) from error
    _take_spread_scales(path, system, header)
    _load_tensors(path, system, tensors)
    system.eval().requires_grad_(False)
    return Model(system.to(device, memory_format=torch.channels_last), header, path)  # pyright: ignore[reportCallIssue]


def start_from(system: System, model: Model) -> tuple[str, ...]:
    """Give a new system the weights of a model, and the constants of its training labels, which the weights
    rely on.

    Returns:
        Parts of the network that the model lacks and that begin anew: the last levels of a decoder of larger
        pictures.

    Raises:
        UserError: the model is of another system, size of crops or network; names what differs.
    """
    if not isinstance(
        model.system, PoseAppearanceVae if isinstance(system, PoseAppearanceVae) else type(system)
    ):
        raise UserError(
            model.path,
            f"is a {model.header.system}, not a {system_name(system.config)}",
            "give --init a model of that kind",
        )
    fresh: tuple[str, ...] = ()
    if isinstance(system, PoseAppearanceVae) and isinstance(model.system, PoseAppearanceVae):
        fresh = system.grown_from(model.system)
    if model.system.crop.size_px != system.crop.size_px and not fresh:
        fault = f"reads crops of {model.system.crop.size_px} px, not of {system.crop.size_px}"
        raise UserError(model.path, fault, f"set --crop.size-px {model.system.crop.size_px}")
    theirs, ours = (_without(one, fresh) for one in (model.system, system))
    shapes, wanted_shapes = (
        {name: tuple(tensor.shape) for name, tensor in state.items()} for state in (theirs, ours)
    )
    unlike = sorted(name for name, _ in shapes.items() ^ wanted_shapes.items())
    if unlike:
        was, wanted = asdict(model.system.config), asdict(system.config)
        changed = ", ".join(
            f"{name} {was[name]!r} (here {wanted[name]!r})"
            for name in was
            if was[name] != wanted.get(name, was[name])
        )
        raise UserError(
            model.path,
            f"its network is another one: {changed or unlike[0]}",
            "train with the same --system options",
        )
    system.load_state_dict(system.state_dict() | theirs)
    return fresh


def _without(system: System, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors that are neither its training's own progress nor in one of these parts."""
    inside = tuple(f"{part}." for part in parts)
    state = system.state_dict()
    return {
        name: tensor
        for name, tensor in state.items()
        if name not in system.own_progress and not name.startswith(inside)
    }


def load_decoder(path: Path) -> nn.Module:
    """A model's decoder alone, for `python -m handvae.rv.explain MODEL --loader
    handvae.training.checkpoint:load_decoder`."""
    model = load_model(path)
    if not isinstance(model.system, PoseAppearanceVae):
        raise UserError(
            path, f"is a {model.header.system}, which has no decoder of random variables", "give a srv_vae"
        )
    return model.system.decoder


def _read_header(path: Path, metadata: dict[str, str]) -> Header:
    if KEY not in metadata:
        raise UserError(path, "holds no handvae header", "give a model that handvae wrote")
    try:
        header = _checked(Header, modernise_header(json.loads(metadata[KEY], parse_constant=_refuse)))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(path, "its header is damaged", "fetch or train the model again") from error
    if header.format != FORMAT or header.system not in CONFIGS:
        fault = f"is of format {header.format}, system {header.system!r}; this version reads format {FORMAT} and {', '.join(CONFIGS)}"
        raise UserError(path, fault, "use the version that wrote it")
    return header


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} in the header")


def _config(header: Header) -> SystemConfig:
    return _checked(CONFIGS[header.system], header.config)


def _checked(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """`values` as that dataclass: types checked, no unknown keys, nothing run but its own checks."""
    unknown = values.keys() - {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]}")
    return TypeAdapter(kind).validate_python(values)


def _said(inside: str, error: Exception) -> str:
    """The first fault that an error names, on one line, after the field it is in."""
    first = (
        error.errors(include_url=False)[0]
        if isinstance(error, ValidationError)
        else {"loc": (), "msg": error}
    )
    where = ".".join(str(part) for part in (inside, *first["loc"]) if part != "")
    return f"{where or 'config'}: {' '.join(str(first['msg']).split())}"


def _as_dicts(scales: Mapping[str, SpreadScale]) -> dict[str, dict[str, Any]]:
    return {name: asdict(scale) for name, scale in scales.items()}


def _take_spread_scales(path: Path, system: System, header: Header) -> None:
    where = "spread_scales"
    try:
        scales = {}
        for name, values in header.spread_scales.items():
            where = f"spread_scales.{name}"
            scales[name] = _checked(SpreadScale, values)
        if isinstance(system, PoseEstimator):
            system.take_spread_scales(scales)
    except ValueError as error:  # pydantic's too
        raise UserError(
            path, f"header field {_said(where, error)}", "fetch or train the model again"
        ) from error


def _load_tensors(path: Path, system: System, tensors: dict[str, Tensor]) -> None:
    expected = system.state_dict()
    missing, extra = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or extra:
        example = sorted(missing or extra)[0]
        fault = f"{len(missing)} tensors missing and {len(extra)} unknown, such as {example}"
        raise UserError(
            path, fault, "its weights and header do not belong together; fetch or train the model again"
        )
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            fault = (
                f"tensor {name} is {tuple(tensor.shape)}, the header asks for {tuple(expected[name].shape)}"
            )
            raise UserError(path, fault, "fetch or train the model again")
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise UserError(
                path,
                f"tensor {name} holds {tensor.dtype}, not {expected[name].dtype}",
                "fetch or train the model again",
            )
        if not torch.isfinite(tensor).all():
            raise UserError(path, f"tensor {name} holds NaN or infinity", "fetch or train the model again")
    system.load_state_dict(tensors)
