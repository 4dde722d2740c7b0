"""Models on disk: safetensors, with all that is needed to build the system in the file's own header.

No pickle is read. A file is written beside its final name, flushed and renamed: it is whole or absent.
"""

import hashlib
import json
import math
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
from handvae.training.first_edition import MODELS, modernise_header, modernise_tensors
from handvae.training.model_files import KEY, WEIGHTS

Kind = TypeVar("Kind")

FORMAT = 1
"""Version of the file's layout."""


@dataclass(frozen=True)
class Header:
    """What a model file records about its model."""

    system: str
    config: dict[str, Any]
    spec: dict[str, Any]
    crop: dict[str, Any]
    format: int = FORMAT
    steps: int = 0
    """Steps of training."""
    preset: str = ""
    summary: dict[str, float] = field(default_factory=dict)
    """What the system measured on its training pictures, such as the moments of its latent."""
    spread_scales: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Calibration of the joints' spread, for each set of inputs; empty in older files."""
    digest: str = ""
    """SHA-256 of the weights (`_digest`); empty in files of the first edition."""


@dataclass(frozen=True)
class Model:
    """A system read from disk, with its file's header."""

    system: System
    header: Header
    path: Path

    @property
    def name(self) -> str:
        """Name of a shipped model, path of another."""
        return self.path.stem if self.path.parent == WEIGHTS else str(self.path)

    @property
    def pose_estimator(self) -> PoseEstimator:
        """The system, to estimate poses with.

        Raises:
            UserError: it estimates none.
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


# ------------------------------------------------------------------------------------------------ writing


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
        steps: steps of training.
        preset: name of the preset it comes from.
        summary: see `Header.summary`; what is not finite, such as a mean over no hand, is left out.
        dtype: store floats in this type (float16 halves the file).
        state: weights to write instead of the system's present ones.
    """
    # a spread is calibrated for the system's own weights
    scales: Mapping[str, SpreadScale] = {}
    if isinstance(system, PoseEstimator) and state is None:
        scales = system.spread_scales

    header = Header(
        system=system_name(system.config),
        config=asdict(system.config),
        spec=asdict(system.spec),
        crop=asdict(system.crop),
        steps=steps,
        preset=preset,
        summary={name: value for name, value in (summary or {}).items() if math.isfinite(value)},
        spread_scales=_as_dicts(scales),
    )

    tensors = {}
    for name, tensor in (state or system.state_dict()).items():
        stored = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", stored).clone(memory_format=torch.contiguous_format)

    _write_file(path, header, tensors)


def _write_file(path: Path, header: Header, tensors: dict[str, Tensor]) -> None:
    """Write a model, whole or not at all.

    Raises:
        UserError: there is no room, or no leave to write.
    """
    # one entry: safetensors writes several in any order, and equal models are to be equal files
    metadata = {KEY: json.dumps(asdict(replace(header, digest=_digest(tensors))))}
    try:
        write_atomically(path, lambda beside: save_file(tensors, beside, metadata=metadata))
    except SafetensorError as error:
        # what the system says of a full disk comes in another exception's words
        raise UserError(path, f"cannot be written ({error})", "check the disk, then save again") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values: two flipped bytes of a weight are still a number, but not this one."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def keep_spread_scales(model: Model, scales: Mapping[str, SpreadScale]) -> None:
    """Write a model's file again with these scales in place of its own; the weights stay bit for bit.

    Raises:
        UserError: the file cannot be written; it is then as it was.
    """
    path = model.path.resolve()  # the target of a link
    header = replace(model.header, spread_scales=_as_dicts(scales))
    try:
        _, tensors = _read_file(path)
        tensors = modernise_tensors(tensors)  # the header has this edition's names
        _write_file(path, header, tensors)
    except (SafetensorError, OSError) as error:
        raise UserError(
            path, f"cannot be written again ({error})", "copy it to where there is room and leave to write"
        ) from error


def _as_dicts(scales: Mapping[str, SpreadScale]) -> dict[str, dict[str, Any]]:
    return {name: asdict(scale) for name, scale in scales.items()}


# ------------------------------------------------------------------------------------------------ reading


def find_model(name: str) -> Path:
    """The file of a shipped model's name, a `.safetensors` file, or a run folder.

    Raises:
        UserError: there is none.
    """
    shipped_name = MODELS.get(name, name)
    for path in (WEIGHTS / f"{shipped_name}.safetensors", Path(name), Path(name) / "model.safetensors"):
        if path.is_file():
            return path

    shipped = ", ".join(sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))) or "none"
    raise UserError(
        name, "no such model", f"give a shipped one ({shipped}), a .safetensors file or a run folder"
    )


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Model:
    """Read a model, for use: eval mode, float32, channels last.

    Raises:
        UserError: the file is missing, truncated, foreign, or of another version.
    """
    path = find_model(str(name))

    # File
    try:
        metadata, tensors = _read_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            path, f"is damaged or not a safetensors file ({error})", "fetch or train the model again"
        ) from error

    header = _read_header(path, metadata)
    digest = _digest(tensors) if header.digest else ""
    tensors = modernise_tensors(tensors)

    # System. First without memory: a damaged header may ask for more than there is
    try:
        config = _read_config(header)
        spec = _read_dataclass(DataSpec, header.spec)
        crop = _read_dataclass(Crop, header.crop)
        with torch.device("meta"):
            planned = build_system(config, spec, crop)
        _check_tensors(path, planned, tensors)
        if digest != header.digest:
            fault = "its weights are not those that were written"
            raise UserError(path, fault, "fetch or train the model again")

        system = build_system(config, spec, crop)
    except (ValueError, TypeError, RuntimeError, LookupError, MemoryError) as error:
        raise UserError(
            path, f"header field {_first_fault('', error)}", "read it with the version that wrote it"
        ) from error

    # Weights
    _set_spread_scales(path, system, header)
    system.load_state_dict(tensors)
    system.eval().requires_grad_(False)
    system.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Model(system, header, path)


def load_decoder(path: Path) -> nn.Module:
    """A model's decoder of random variables alone, for `python -m handvae.rv.explain --loader`.

    Raises:
        UserError: as `load_model`, or the model has none.
    """
    model = load_model(path)
    if not isinstance(model.system, PoseAppearanceVae):
        raise UserError(
            path, f"is a {model.header.system}, which has no decoder of random variables", "give a srv_vae"
        )

    return model.system.decoder


def _read_file(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors."""
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
        return file.metadata() or {}, tensors


def _read_header(path: Path, metadata: dict[str, str]) -> Header:
    """The header, in the names of this edition."""
    if KEY not in metadata:
        raise UserError(path, "holds no handvae header", "give a model that handvae wrote")

    try:
        values = json.loads(metadata[KEY], parse_constant=_refuse_constant)
        header = _read_dataclass(Header, modernise_header(values))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(path, "its header is damaged", "fetch or train the model again") from error

    if header.format != FORMAT or header.system not in CONFIGS:
        fault = (
            f"is of format {header.format}, system {header.system!r}; "
            f"this version reads format {FORMAT} and {', '.join(CONFIGS)}"
        )
        raise UserError(path, fault, "use the version that wrote it")

    return header


def _refuse_constant(constant: str) -> float:
    """NaN and infinities are no JSON, but Python reads them."""
    raise ValueError(f"{constant} in the header")


def _read_config(header: Header) -> SystemConfig:
    return _read_dataclass(CONFIGS[header.system], header.config)


def _read_dataclass(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """`values` as that dataclass; types and names are checked, and no code runs but its own checks."""
    unknown = values.keys() - {field.name for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)[0]}")
    return TypeAdapter(kind).validate_python(values)


def _first_fault(where: str, error: Exception) -> str:
    """The first fault of an error, on one line, after the name of its field inside `where`."""
    place: tuple[int | str, ...] = ()
    message = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = first["loc"]
        message = first["msg"]

    name = ".".join(str(part) for part in (where, *place) if part != "")
    return f"{name or 'config'}: {' '.join(message.split())}"


def _set_spread_scales(path: Path, system: System, header: Header) -> None:
    """Give the system the header's calibration."""
    where = "spread_scales"
    try:
        scales = {}
        for name, values in header.spread_scales.items():
            where = f"spread_scales.{name}"
            scales[name] = _read_dataclass(SpreadScale, values)
        if isinstance(system, PoseEstimator):
            system.take_spread_scales(scales)
    except ValueError as error:  # pydantic's too
        raise UserError(
            path, f"header field {_first_fault(where, error)}", "fetch or train the model again"
        ) from error


def _check_tensors(path: Path, system: System, tensors: dict[str, Tensor]) -> None:
    """Check that a file's weights are the system's: names, shapes, types, and that all values are finite.

    Raises:
        UserError: they are not; names the first that is not.
    """
    expected = system.state_dict()

    missing = expected.keys() - tensors.keys()
    unknown = tensors.keys() - expected.keys()

    if missing or unknown:
        example = sorted(missing or unknown)[0]
        raise UserError(
            path,
            f"{len(missing)} tensors missing and {len(unknown)} unknown, such as {example}",
            "its weights and header do not belong together; fetch or train the model again",
        )

    for name, tensor in tensors.items():
        fault = _tensor_fault(tensor, expected[name])
        if fault:
            raise UserError(path, f"tensor {name} {fault}", "fetch or train the model again")


def _tensor_fault(tensor: Tensor, expected: Tensor) -> str:
    """Why a tensor cannot take the place of another; empty if it can."""
    if tensor.shape != expected.shape:
        return f"is {tuple(tensor.shape)}, the header asks for {tuple(expected.shape)}"
    if tensor.is_floating_point() != expected.is_floating_point():
        return f"holds {tensor.dtype}, not {expected.dtype}"
    if not torch.isfinite(tensor).all():
        return "holds NaN or infinity"
    return ""


# ---------------------------------------------------------------------------------------------- fine-tuning


def start_from(system: System, model: Model) -> tuple[str, ...]:
    """Give a new system a model's weights, and the constants of its training labels, on which they rely.

    Returns:
        Parts of the network that the model lacks and that start from random weights: the last levels of a
        decoder of larger pictures.

    Raises:
        UserError: the model is of another system, size of crops or network; names what differs.
    """
    # any model of pose and appearance starts any other
    fresh: tuple[str, ...] = ()
    kind = type(system)
    if isinstance(system, PoseAppearanceVae):
        kind = PoseAppearanceVae
        if isinstance(model.system, PoseAppearanceVae):
            fresh = system.grown_from(model.system)

    if not isinstance(model.system, kind):
        raise UserError(
            model.path,
            f"is a {model.header.system}, not a {system_name(system.config)}",
            "give --init a model of that kind",
        )

    size_px = model.system.crop.size_px
    if size_px != system.crop.size_px and not fresh:
        fault = f"reads crops of {size_px} px, not of {system.crop.size_px}"
        raise UserError(model.path, fault, f"set --crop.size-px {size_px}")

    weights = _transferable(model.system, fresh)
    unlike = _shapes(weights) ^ _shapes(_transferable(system, fresh))
    if unlike:
        changed = _config_changes(model.system, system) or min(unlike)[0]
        raise UserError(
            model.path, f"its network is another one: {changed}", "train with the same --system options"
        )

    system.load_state_dict(system.state_dict() | weights)
    return fresh


def _transferable(system: System, without: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors that are neither the training's own progress nor in one of these parts."""
    left_out = tuple(f"{part}." for part in without)
    return {
        name: tensor
        for name, tensor in system.state_dict().items()
        if name not in system.own_progress and not name.startswith(left_out)
    }


def _shapes(state: dict[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in state.items()}


def _config_changes(old: System, new: System) -> str:
    """The options of two systems that differ."""
    before = asdict(old.config)
    after = asdict(new.config)
    return ", ".join(
        f"{name} {value!r} (here {after[name]!r})"
        for name, value in before.items()
        if name in after and value != after[name]
    )
