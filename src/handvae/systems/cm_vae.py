"""Cross-modal VAE for hands (Spurr, Song, Park, Hilliges: "Cross-modal Deep Variational Hand Pose
Estimation", CVPR 2018).

One latent space for RGB, depth, 2D and 3D joints. Each modality k has an encoder q_k and a decoder p_k.
For every pair k -> l of the variant's list, training takes one optimiser step on the negative of the
lower bound of eq. (5):

    |x_l - p_l(z)|^2 + KL(q_k(z | x_k) || N(0, I)),    z ~ q_k(z | x_k)

Ours, all off by default: a lighter KL, its warm-up, noise on 2D joints, a keypoint detector as the encoder
of pictures. Ours in use: several modalities are fused, and posterior samples give each joint's spread.
Open details and our choices: docs/papers/cm_vae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.cloud import dots
from handvae.data.crop import Crop, PixelField, depth_centre, in_own_crop, normalise_depth, to_crop_units
from handvae.data.hands import DataSpec, Hands
from handvae.hand import LEFT, PARENTS, RIGHT, scale_bone
from handvae.losses import labelled_error, masked_mean
from handvae.nets.blocks import MAX_WIDTH, Norm
from handvae.nets.dcgan import DcganDecoder
from handvae.nets.encoder import SidedEncoder
from handvae.nets.limb_maps import drawn
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.picture_encoders import (
    KeypointEncoder,
    PictureEncoder,
    ResNetEncoder,
    build_keypoint_backbone,
    pretrained_detector,
)
from handvae.nets.resnet import ResNet
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.fusion import fuse
from handvae.systems.sheet import image_grid
from handvae.systems.system import (
    Input,
    Losses,
    Phase,
    PoseEstimator,
    Prediction,
    Stage,
    System,
    predict_by_samples,
)

SHEET_PX = 128
"""Side of a cell of the sample sheet."""

# ------------------------------------------------------------------------------------------- modalities

ModalityName = Literal["rgb", "depth", "2d", "3d"]


@dataclass(frozen=True)
class Modality:
    """A way to see a hand: a picture, which has channels, or joints, which have axes."""

    name: ModalityName
    field: Literal["image", "depth", "joints_2d", "joints_3d"]
    """The field of `Hands` it comes from."""
    pixels: PixelField | None = None
    """The same, of a picture."""
    input: Input | None = None
    """The same, where poses can be read from it."""
    channels: int = 0
    """Of a picture."""
    axes: int = 0
    """Of joints."""


MODALITIES: dict[str, Modality] = {
    "rgb":   Modality("rgb",   "image",     pixels="image", input="image",     channels=3),
    "depth": Modality("depth", "depth",     pixels="depth", input="depth",     channels=1),
    "2d":    Modality("2d",    "joints_2d",                 input="joints_2d", axes=2),
    "3d":    Modality("3d",    "joints_3d",                                    axes=3),
}  # fmt: skip
"""By name, in the order of the encoders and decoders."""


def pixel_fields(names: Sequence[ModalityName]) -> tuple[PixelField, ...]:
    """Pictures of each hand that these modalities need, in the order of `MODALITIES`."""
    chosen = [modality for name, modality in MODALITIES.items() if name in names]
    return tuple(modality.pixels for modality in chosen if modality.pixels is not None)


def input_fields(names: Sequence[ModalityName]) -> tuple[Input, ...]:
    """Fields of `Hands` that poses can be read from, of these modalities, in their order."""
    fields: list[Input] = []
    for name in names:
        field_name = MODALITIES[name].input
        if field_name is not None and field_name not in fields:
            fields.append(field_name)
    return tuple(fields)


# -------------------------------------------------------------------------------------------- configuration


@dataclass(frozen=True)
class CmVaeConfig:
    """Options of cm-VAE; the defaults are the paper's."""

    input: Literal["rgb", "depth", "2d"] = "rgb"
    """i, the modality that poses are read from; the target is always 3D."""
    variant: Literal[0, 1, 2, 3, 4] = 3
    """Pairs to train: 1: i-3d; 2: i-3d, 3d-3d; 3: i-3d, i-i; 4: i-3d, i-i, 3d-3d; 0 (ours): `more_pairs`."""
    more_pairs: tuple[str, ...] = ()
    """Further pairs, after the variant's, such as `rgb-2d` or `2d-3d`."""
    scale_given: bool = True
    """S: each hand's size is given, poses are in its bone units; else in the training hands' mean bone."""
    side_given: bool = True
    """H: encoders know whether the hand is a left or a right one (the depth encoder does not)."""
    root: Literal["palm", "wrist", "centre"] = "palm"
    """T: the origin of 3D joints; `wrist` also for data whose joint 0 is the palm already. `centre`, for data
    with other joints (NYU, ICVL): the joints' mean, and the unit is half of the crop's cube."""
    latent_dims: int = 30
    """Size of z."""
    encoder: PictureEncoder = field(default_factory=ResNetEncoder)
    """Encoder of RGB: the paper's ResNet, or a keypoint detector (ours). Depth always has the ResNet."""
    reduction: Literal["mean", "sum"] = "mean"
    """mean: squared error per value and KL / n, n a pose's coordinates; sum: eq. (5) as it is written."""
    kl_weight: float = 1.0
    """Weight of the KL; eq. (5) has 1. In bone units a nat then costs as much as an error of one bone."""
    rate_warmup_steps: int = 0
    """Ours: steps over which the weight of the KL rises from 0; short runs need it to use z at all."""
    joint_noise_px: float = 0.0
    """Standard deviation of noise on the encoder's 2D joints in training, pixels of the crop."""
    decoder_width: int = 256
    """Channels of the picture decoders' first map."""
    hidden: int = 512
    """Width of the joint nets."""
    norm: Norm = "batch"
    """Normalisation."""
    posterior_samples: int = 32
    """Samples of the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        for pair in self.more_pairs:
            names = pair.split("-")
            if len(names) != 2 or not set(names) <= MODALITIES.keys():
                choices = ", ".join(MODALITIES)
                raise ValueError(f"more_pairs holds {pair!r}; a pair is two of {choices}, such as rgb-3d")

        if self.input not in self.encoded or "3d" not in self.decoded:
            raise ValueError(f"more_pairs of variant 0 must encode {self.input} and decode 3d")

        widths = (self.latent_dims, self.decoder_width, self.hidden)
        if not all(1 <= width <= MAX_WIDTH for width in widths):
            raise ValueError(f"latent_dims, decoder_width and hidden are 1 to {MAX_WIDTH}")
        if not 2 <= self.posterior_samples <= 4096:
            raise ValueError("posterior_samples is 2 to 4096")

        for name in ("kl_weight", "joint_noise_px", "rate_warmup_steps"):
            if not 0 <= vars(self)[name] < float("inf"):
                raise ValueError(f"{name} is not negative")

        if isinstance(self.encoder, KeypointEncoder):
            if "rgb" not in self.encoded:
                raise ValueError("a keypoint encoder needs pictures, and no pair encodes rgb")
            if self.encoder.keypoint_weight:
                raise ValueError("cm-VAE does not train its detector: set encoder.keypoint_weight to 0")

    @property
    def pairs(self) -> tuple[tuple[ModalityName, ModalityName], ...]:
        """(encoder, decoder) in the order of their steps."""
        i = self.input
        of_variant: dict[int, list[tuple[ModalityName, ModalityName]]] = {
            0: [],
            1: [(i, "3d")],
            2: [(i, "3d"), ("3d", "3d")],
            3: [(i, "3d"), (i, i)],
            4: [(i, "3d"), (i, i), ("3d", "3d")],
        }
        more = [cast(tuple[ModalityName, ModalityName], tuple(pair.split("-"))) for pair in self.more_pairs]

        return tuple(dict.fromkeys([*of_variant[self.variant], *more]))

    @property
    def encoded(self) -> tuple[ModalityName, ...]:
        """Modalities that have an encoder."""
        sources = {source for source, _ in self.pairs}
        return tuple(modality.name for modality in MODALITIES.values() if modality.name in sources)

    @property
    def decoded(self) -> tuple[ModalityName, ...]:
        """Modalities that have a decoder."""
        targets = {target for _, target in self.pairs}
        return tuple(modality.name for modality in MODALITIES.values() if modality.name in targets)


@dataclass(frozen=True)
class CmLosses(Losses):
    """Terms of one pair's objective."""

    error: Float[Tensor, ""]
    """Mean squared error per value of the target."""
    rate: Float[Tensor, ""]
    """KL of z, nats."""
    beta: Float[Tensor, ""]
    """Weight of the KL against the *summed* squared error: 1 for joints, thousands for pictures."""


class CmVae(PoseEstimator):
    """Encoders and decoders of the modalities that the configuration's pairs name."""

    config: CmVaeConfig
    mean_bone_mm: Tensor

    def __init__(self, config: CmVaeConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        _check_data(config, spec)
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = "3d"
        self.root = config.root

        self.keypoint_backbone = build_keypoint_backbone(config.encoder, spec.joints, config.norm)
        self.encoders = nn.ModuleDict(
            {name: self._build_encoder(MODALITIES[name]) for name in config.encoded}
        )
        self.decoders = nn.ModuleDict(
            {name: self._build_decoder(MODALITIES[name]) for name in config.decoded}
        )
        # the unit without a given scale; `prepare` measures it on the training labels
        self.register_buffer("mean_bone_mm", torch.ones(()))

        self.fields = pixel_fields((*config.encoded, *config.decoded))
        self.reads = pixel_fields((config.input,))
        self.inputs = input_fields((config.input, *config.encoded))
        self.sheet_rows = f"{config.input}; decoded from it: {', '.join(config.decoded)}; labels in 3D"

    # ---------------------------------------------------------------- networks

    def _build_encoder(self, modality: Modality) -> SidedEncoder:
        """q_k: features, the hand's side if it is given, a Gaussian."""
        config = self.config
        sided = config.side_given and modality.name != "depth"

        if modality.name == "rgb" and self.keypoint_backbone is not None:
            layers = hidden_layers(self.keypoint_backbone.outputs, config.hidden)
            return SidedEncoder(layers, config.hidden, config.latent_dims, sided=sided)

        if modality.channels:
            resnet = config.encoder.resnet
            trunk = ResNet(
                modality.channels,
                self.crop.size_px,
                layers=resnet.layers,
                width=resnet.width,
                stem=resnet.stem,
                norm=config.norm,
            )
            return SidedEncoder(trunk, trunk.features, config.latent_dims, sided=sided)

        layers = nn.Sequential(nn.Flatten(), hidden_layers(self.spec.joints * modality.axes, config.hidden))
        return SidedEncoder(layers, config.hidden, config.latent_dims, sided=sided)

    def _build_decoder(self, modality: Modality) -> nn.Module:
        """p_l: the mean of x_l given z."""
        config = self.config
        if modality.channels:
            return DcganDecoder(
                config.latent_dims,
                modality.channels,
                self.crop.size_px,
                width=config.decoder_width,
                norm=config.norm,
            )

        return nn.Sequential(
            mlp(config.latent_dims, self.spec.joints * modality.axes, config.hidden),
            nn.Unflatten(1, (self.spec.joints, modality.axes)),
        )

    def pretrained(self) -> dict[str, str]:
        """The detector of a keypoint encoder."""
        return pretrained_detector(self.config.encoder)

    def attach(self, role: str, system: System) -> None:
        """Take over the weights of the detector.

        Raises:
            ValueError: the detector does not fit, or the configuration names none.
        """
        if role != "detector" or self.keypoint_backbone is None:
            return super().attach(role, system)
        self.keypoint_backbone.copy_detector(system, system.crop, self.crop)

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One stage, in which the pairs take turns."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One optimiser: a pair's loss reaches its own encoder and decoder, the others have no gradient."""
        return {"all": (self.encoders, self.decoders)}

    @torch.no_grad()
    def prepare(self, labels: Hands) -> None:
        """Measure the mean scale bone of the training hands, the unit of models without a given scale."""
        if self.config.scale_given or self.config.root == "centre":
            return
        labelled = self.labelled(labels).any(1)
        if labelled.any():
            joints = labels.require("joints_3d")
            self.mean_bone_mm.copy_(scale_bone(joints[labelled]).mean())

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step per pair."""
        if self.keypoint_backbone is not None:
            self.keypoint_backbone.check_trained()
        for source, target in self.config.pairs:
            losses = self.objective(batch, source, target, noise)
            yield Phase(losses, group="all", name=f"{source}-{target}")

    def objective(self, hands: Hands, source: ModalityName, target: ModalityName, noise: Noise) -> CmLosses:
        """Eq. (5) for one pair, over the hands that have both modalities."""
        config = self.config
        encoder_input = self.observed(hands, source)
        target_value = self.observed(hands, target)
        target_labels = self.label_mask(hands, target)
        counted = self.label_mask(hands, source).any(1) & target_labels.any(1)

        # z ~ q_k(z | x_k), and what l looks like given z
        draw = noise.normal(len(hands), config.latent_dims).to(encoder_input.device)
        if source == "2d" and config.joint_noise_px:
            encoder_input = self._add_joint_noise(encoder_input, hands, noise)

        posterior = self._encode(encoder_input, source, hands)
        decoded = self.decoders[target](posterior.sample(noise=draw)).float()

        # values of the target, and coordinates of a pose (of 3D where the target is a picture)
        values = target_value[0].numel()
        coordinates = self.spec.joints * (MODALITIES[target].axes or 3)
        beta = config.kl_weight * (values / coordinates if config.reduction == "mean" else 1.0)
        beta *= min(1.0, (noise.step + 1) / max(1, config.rate_warmup_steps))

        weights = target_labels * self.label_weights(hands)
        error = masked_mean(labelled_error(decoded, target_value, weights), counted)
        rate = masked_mean(posterior.kl(), counted)
        total = (
            error  # eq. (5), first term: -E[log p_l(x_l | z)], per value
            + beta / values * rate  # eq. (5), second term: KL(q_k(z | x_k) || N(0, I)); beta = 1 in the paper
        )
        if config.reduction == "sum":
            total = total * values

        return CmLosses(total=total, error=error, rate=rate, beta=total.new_tensor(beta))

    def _add_joint_noise(
        self, joints: Float[Tensor, "batch joint 2"], hands: Hands, noise: Noise
    ) -> Float[Tensor, "batch joint 2"]:
        """2D joints, crop units, with noise on those that are labelled."""
        std = 2 * self.config.joint_noise_px / self.crop.size_px
        shift = noise.normal(*joints.shape).to(joints) * std
        return joints + shift.masked_fill(~self.label_mask(hands, "2d")[..., None], 0.0)

    # ---------------------------------------------------------------- what networks see

    def observed(self, hands: Hands, name: ModalityName) -> Float[Tensor, "batch *shape"]:
        """A modality as networks see it.

        RGB in [-0.5, 0.5], depth in [-1, 1], 2D in crop units, 3D in bone units; unlabelled joints are 0.
        """
        match name:
            case "rgb":
                return hands.require("image") - 0.5
            case "depth":
                centre = depth_centre(hands, self.spec.root == "camera")
                return normalise_depth(hands.require("depth"), centre, self.crop.cube_mm)
            case "2d":
                joints = to_crop_units(hands.require("joints_2d"), self.crop.size_px)
                return joints.masked_fill(~self.label_mask(hands, "2d")[..., None], 0.0)
            case "3d":
                return self.joints_of(hands)

    def label_mask(self, hands: Hands, name: ModalityName) -> Bool[Tensor, "batch joint"]:
        """Which joints of a modality have a label; all joints, if it is a picture."""
        if name == "3d":
            return self.labelled(hands)
        if name == "2d" and hands.joint_valid is not None:
            return hands.joint_valid
        device = hands.require(MODALITIES[name].field).device
        return torch.ones(len(hands), self.spec.joints, dtype=torch.bool, device=device)

    def available_mask(self, hands: Hands, name: ModalityName) -> Bool[Tensor, " batch"]:
        """Which hands have a modality: a labelled joint, or a pixel with a depth; every hand has RGB."""
        if name == "depth":
            return (hands.require("depth") > 0).flatten(1).any(1)
        return self.label_mask(hands, name).any(1)

    def _side(self, hands: Hands) -> Float[Tensor, "batch 2"] | None:
        """One-hot side, left first; None where the model does not use it."""
        if not self.config.side_given:
            return None
        side = hands.side
        if side is None:
            if self.spec.sides == "both":
                raise ValueError("this model needs to know which hand it sees, and the batch has no side")
            side = torch.full((len(hands),), LEFT if self.spec.sides == "left" else RIGHT)
        return torch.stack([side == LEFT, side == RIGHT], 1).float()

    # ---------------------------------------------------------------- use

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root, in bone units (`unit_mm`); 0 where there is no label."""
        return self.bone_unit_joints(hands)

    @property
    def unit_mm(self) -> float | None:
        """The mean bone where no scale is given; half of the cube where poses are relative to its centre."""
        if self.config.root == "centre":
            return self.crop.cube_mm / 2
        return None if self.config.scale_given else float(self.mean_bone_mm)

    def encode(self, hands: Hands, name: ModalityName) -> RandomVariable:
        """The posterior of z, given one modality of crops."""
        return self._encode(self.observed(hands, name), name, hands)

    def _encode(
        self, value: Float[Tensor, "batch *shape"], name: ModalityName, hands: Hands
    ) -> RandomVariable:
        if name == "rgb" and self.keypoint_backbone is not None:
            value = self.keypoint_backbone(value + 0.5).vector
        return self.encoders[name](value, self._side(hands))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "batch latent"], name: ModalityName) -> Float[Tensor, "batch *shape"]:
        """A modality of points of the latent space.

        RGB in [0, 1], depth in [-1, 1] of the cube, joints in crop units (2D) or bone units (3D).
        """
        value = self.decoders[name](z).float()
        match name:
            case "rgb":
                return (value + 0.5).clamp(0, 1)
            case "depth":
                return value.clamp(-1, 1)
            case "2d" | "3d":
                return value

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from crops; several inputs are fused, and a hand that lacks one does without it."""
        names: list[ModalityName] = [name for name in self.config.encoded if MODALITIES[name].field in inputs]
        if not names:
            names = [self.config.input]
        posterior = fuse(
            [self.encode(hands, name) for name in names],
            [self.available_mask(hands, name) for name in names],
        )
        return predict_by_samples(posterior, lambda z: self.decode(z, "3d"), self.config.posterior_samples)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Pose error, rate, and spread of the posterior means on training hands."""
        distances, rates, means = [], [], []
        for batch in batches:
            posterior = self.encode(batch, self.config.input)
            error = self.decode(posterior.mean, "3d") - self.joints_of(batch)
            distances.append(error.norm(dim=2)[self.labelled(batch)])
            rates.append(posterior.kl())
            means.append(posterior.mean)

        distance = torch.cat(distances)
        spread = torch.cat(means).std(0, correction=0)
        return {
            "training_error": float(distance.sum()) / max(len(distance), 1),
            "rate": float(torch.cat(rates).mean()),
            "latent_spread_mean": float(spread.mean()),
            "latent_spread_min": float(spread.min()),
        }

    # ---------------------------------------------------------------- pictures

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """One column per hand; rows: the input, every modality decoded from it, the labels in 3D."""
        source = self.config.input
        z = self.encode(batch, source).mean
        encoder_input = self.observed(batch, source)
        if source == "rgb":
            encoder_input = encoder_input + 0.5

        rows = [self.visualise(encoder_input, source)]
        rows += [self.visualise(self.decode(z, name), name) for name in self.config.decoded]
        rows.append(self.visualise(self.joints_of(batch), "3d"))
        return image_grid(rows)

    def visualise(self, value: Tensor, name: ModalityName) -> Float[Tensor, "batch 3 size size"]:
        """Values of a modality, as `decode` gives them, as pictures; joints as limbs on white."""
        match name:
            case "rgb":
                return F.interpolate(value, size=(SHEET_PX, SHEET_PX), mode="nearest")
            case "depth":
                nearness = (1 - value).expand(-1, 3, -1, -1) / 2
                return F.interpolate(nearness, size=(SHEET_PX, SHEET_PX), mode="nearest")
            case "2d":
                flat = value
            case "3d":
                flat = in_own_crop(value[..., :2], self.crop.margin).nan_to_num()

        if self.spec.joints != len(PARENTS):
            return dots(flat, SHEET_PX)

        return drawn(flat, SHEET_PX, 0.02)


def _check_data(config: CmVaeConfig, spec: DataSpec) -> None:
    """Refuse data that lack a modality of the pairs, or hands of other joints."""
    needed = {MODALITIES[name].field for pair in config.pairs for name in pair}
    missing = sorted(needed - set(spec.modalities))
    if config.side_given and "side" not in spec.modalities:
        missing = sorted([*missing, "side"])

    if missing:
        remedy = "set side_given to False, or " if missing == ["side"] else ""
        raise ValueError(f"these pairs need {', '.join(missing)} of every hand; {remedy}use data that has it")

    if spec.joints != len(PARENTS) and config.root != "centre":
        raise ValueError(
            f"palm, wrist and bones are of hands of {len(PARENTS)} joints, the data has {spec.joints}; "
            "set root to centre"
        )
