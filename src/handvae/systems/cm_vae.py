"""Cross-modal VAE for hands (Spurr, Song, Park, Hilliges, "Cross-modal Deep Variational Hand Pose
Estimation", CVPR 2018).

One latent space for RGB, depth, 2D and 3D joints; each modality has an encoder q_k and a decoder p_l of its
own. For a pair k -> l of
the variant's list, training takes one optimiser step on
    |x_l - p_l(z)|^2 + KL(q_k(z | x_k) || N(0, I)),    z ~ q_k(z | x_k)                                                       eq. (5)
and goes on to the next pair. Ours beside it: fusion of several modalities when reading, spread from posterior
samples.
Open details and what we chose: docs/papers/cm_vae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.cloud import dots
from handvae.data.crop import (
    Crop,
    PixelField,
    cube_centre,
    depth_centre,
    in_own_crop,
    normalise_depth,
    to_crop_units,
)
from handvae.data.hands import DataSpec, Hands
from handvae.hand import LEFT, PARENTS, RIGHT, root, scale_bone
from handvae.losses import known_error
from handvae.nets.blocks import Norm
from handvae.nets.dcgan import DcganDecoder
from handvae.nets.encoder import SidedEncoder
from handvae.nets.keypoint_backbone import LEVELS, KeypointBackbone
from handvae.nets.limb_maps import drawn
from handvae.nets.mlp import hidden_layers, mlp
from handvae.nets.resnet import ResNet18
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.fusion import fuse
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

Modality = Literal["rgb", "depth", "2d", "3d"]
MODALITIES: tuple[Modality, ...] = ("rgb", "depth", "2d", "3d")
CHANNELS: dict[Modality, int] = {"rgb": 3, "depth": 1}
"""Modalities that are pictures; the others are joints."""
AXES: dict[Modality, int] = {"2d": 2, "3d": 3}
FIELDS: dict[Modality, PixelField] = {"rgb": "image", "depth": "depth"}
SOURCES: dict[Modality, str] = {"rgb": "image", "depth": "depth", "2d": "joints_2d", "3d": "joints_3d"}
"""Fields of `Hands` that modalities come from."""
INPUTS: dict[Modality, Input] = {"rgb": "image", "depth": "depth", "2d": "joints_2d"}
"""Those that poses are read from."""
MAX_WIDTH = 8192
"""Of any layer; what a damaged model file may ask for."""
SHEET_PX = 128
"""Side of a cell of the sample sheet."""


@dataclass(frozen=True)
class CmVaeConfig:
    """Every choice of cm-VAE; the defaults are the paper's."""

    input: Literal["rgb", "depth", "2d"] = "rgb"
    """i, what poses are read from; the target is always 3D."""
    variant: Literal[0, 1, 2, 3, 4] = 3
    """Pairs that are trained: 1: i-3d; 2: i-3d, 3d-3d; 3: i-3d, i-i; 4: i-3d, i-i, 3d-3d; 0, ours: only
    `more_pairs`."""
    more_pairs: tuple[str, ...] = ()
    """Further pairs, after the variant's, such as `rgb-2d` or `2d-3d`."""
    scale_given: bool = True
    """S: each hand's size is given, and poses are in its bone units; else one unit serves all hands, the
    training hands' mean bone."""
    side_given: bool = True
    """H: encoders are told which hand it is (not that of depth)."""
    root: Literal["palm", "wrist", "centre"] = "palm"
    """T: what 3D joints are relative to; `wrist` also for data whose joint 0 is the palm already. `centre`,
    for data with joints of their
    own (NYU, ICVL): the joints' mean, as depth data give it, and no hand's size: the unit is half of the
    crop's cube."""
    latent_dims: int = 30
    """Size of z."""
    reduction: Literal["mean", "sum"] = "mean"
    """mean: squared error per value and KL / n, n coordinates of a pose; sum: squared errors and KL as they
    are."""
    kl_weight: float = 1.0
    """Weight of the KL; 1 is the equation. Joints are in bone units: a nat then costs as much as an error of
    a whole bone."""
    rate_warmup_steps: int = 0
    """First steps over which the weight of the KL rises from 0; ours, for short runs, where z would be of no
    use for long."""
    joint_noise_px: float = 0.0
    """Standard deviation of noise on the 2D joints that the encoder sees in training, pixels of the crop."""
    finder: str = ""
    """Ours: a detector (shipped, a file or a run folder), frozen: the RGB encoder goes on from what it finds,
    and has no ResNet."""
    finder_widths: tuple[int, ...] = (48, 96, 192, 384)
    """Channels of its trunk's stages."""
    trunk_width: int = 64
    """Channels of the picture encoders' first stage; the last has eight times as many."""
    stem: Literal["quarter", "half"] = "quarter"
    """`half` leaves out the trunk's first pooling, for small pictures."""
    decoder_width: int = 256
    """Channels of the picture decoders' first map."""
    hidden: int = 512
    """Width of the joint nets."""
    norm: Norm = "batch"
    """Normalisation."""
    posterior_samples: int = 32
    """Draws from the posterior whose decoded joints give the spread."""

    def __post_init__(self) -> None:
        for pair in self.more_pairs:
            if len(parts := pair.split("-")) != 2 or not set(parts) <= set(MODALITIES):
                raise ValueError(
                    f"more_pairs holds {pair!r}; a pair is two of {', '.join(MODALITIES)}, such as rgb-3d"
                )
        if self.input not in self.encoded or "3d" not in self.decoded:
            raise ValueError(f"more_pairs of variant 0 must encode {self.input} and decode 3d")
        widths = (self.latent_dims, self.trunk_width, self.decoder_width, self.hidden, *self.finder_widths)
        if not all(1 <= width <= MAX_WIDTH for width in widths) or len(self.finder_widths) <= LEVELS:
            raise ValueError(
                f"latent_dims and all widths are 1 to {MAX_WIDTH}, finder_widths has {LEVELS + 1} at least"
            )
        if self.finder and "rgb" not in self.encoded:
            raise ValueError("a finder is for pictures: no pair encodes rgb")
        positive = (self.kl_weight, self.joint_noise_px, self.rate_warmup_steps)
        if (
            not all(0 <= value < float("inf") for value in positive)
            or not 2 <= self.posterior_samples <= 4096
        ):
            raise ValueError(
                "kl_weight, joint_noise_px and rate_warmup_steps are not negative, posterior_samples is 2 to 4096"
            )

    @property
    def pairs(self) -> tuple[tuple[Modality, Modality], ...]:
        """(encoder, decoder) in the order of their steps."""
        i = self.input
        own: dict[int, list[tuple[Modality, Modality]]] = {
            0: [],
            1: [(i, "3d")],
            2: [(i, "3d"), ("3d", "3d")],
            3: [(i, "3d"), (i, i)],
            4: [(i, "3d"), (i, i), ("3d", "3d")],
        }
        more = [cast(tuple[Modality, Modality], tuple(pair.split("-"))) for pair in self.more_pairs]
        return tuple(dict.fromkeys([*own[self.variant], *more]))

    @property
    def encoded(self) -> tuple[Modality, ...]:
        """Modalities that have an encoder."""
        return tuple(modality for modality in MODALITIES if modality in {source for source, _ in self.pairs})

    @property
    def decoded(self) -> tuple[Modality, ...]:
        """Modalities that have a decoder."""
        return tuple(modality for modality in MODALITIES if modality in {target for _, target in self.pairs})


@dataclass(frozen=True)
class CmLosses(Losses):
    """Parts of one pair's objective."""

    error: Float[Tensor, ""]
    """Mean squared error of a value of the target."""
    rate: Float[Tensor, ""]
    """KL of z in nats."""
    beta: Float[Tensor, ""]
    """Weight of the KL against the summed squared error, which the mean form hides: 1 for joints, thousands
    for pictures."""


class CmVae(PoseEstimator):
    """Encoders and decoders of the modalities that the configuration's pairs name."""

    config: CmVaeConfig
    mean_bone_mm: Tensor

    def __init__(self, config: CmVaeConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        _check(config, spec)
        self.finder = (
            KeypointBackbone(spec.joints, config.finder_widths, norm=config.norm) if config.finder else None
        )
        self.encoders = nn.ModuleDict({modality: self._encoder(modality) for modality in config.encoded})
        self.decoders = nn.ModuleDict({modality: self._decoder(modality) for modality in config.decoded})
        self.fields = tuple(
            field for modality, field in FIELDS.items() if modality in (*config.encoded, *config.decoded)
        )
        self.reads = (FIELDS[config.input],) if config.input in FIELDS else ()
        self.inputs = tuple(
            dict.fromkeys(
                INPUTS[modality] for modality in (config.input, *config.encoded) if modality != "3d"
            )
        )
        self.sheet_rows = f"{config.input}; decoded from it: {', '.join(config.decoded)}; labels in 3D"
        self.register_buffer(
            "mean_bone_mm", torch.ones(())
        )  # measured on the training labels where no scale is given

    def _encoder(self, modality: Modality) -> SidedEncoder:
        config = self.config
        if modality == "rgb" and self.finder is not None:
            return SidedEncoder(
                hidden_layers(self.finder.outputs, config.hidden),
                config.hidden,
                config.latent_dims,
                sided=config.side_given,
            )
        if modality in CHANNELS:
            trunk = ResNet18(
                CHANNELS[modality],
                self.crop.size_px,
                width=config.trunk_width,
                stem=config.stem,
                norm=config.norm,
            )
            return SidedEncoder(
                trunk, trunk.features, config.latent_dims, sided=config.side_given and modality == "rgb"
            )
        layers = nn.Sequential(nn.Flatten(), hidden_layers(self.spec.joints * AXES[modality], config.hidden))
        return SidedEncoder(layers, config.hidden, config.latent_dims, sided=config.side_given)

    def _decoder(self, modality: Modality) -> nn.Module:
        config = self.config
        if modality in CHANNELS:
            return DcganDecoder(
                config.latent_dims,
                CHANNELS[modality],
                self.crop.size_px,
                width=config.decoder_width,
                norm=config.norm,
            )
        axes = AXES[modality]
        return nn.Sequential(
            mlp(config.latent_dims, self.spec.joints * axes, config.hidden),
            nn.Unflatten(1, (self.spec.joints, axes)),
        )

    # ---------------------------------------------------------------- training

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One: the pairs take turns."""
        return (Stage("all", trains=("all",)),)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """One optimiser; a pair's loss reaches its own encoder and decoder, the rest has no gradient and is
        left alone."""
        return {"all": (self.encoders, self.decoders)}

    def pretrained(self) -> dict[str, str]:
        """The detector, where one is named."""
        return {"detector": self.config.finder} if self.config.finder else {}

    def attach(self, role: str, system: System) -> None:
        """Take over the weights of a detector; they stay as they are.

        Raises:
            ValueError: see `KeypointBackbone.take`.
        """
        if role != "detector" or self.finder is None:
            return super().attach(role, system)
        self.finder.take(system, self.crop)

    @torch.no_grad()
    def prepare(self, labels: Hands) -> None:
        """The mean length of the training hands' scale bone, the unit of models that are not given the
        scale."""
        if not self.config.scale_given and self.config.root != "centre":
            whole = self.labelled(labels).any(1)
            joints = labels.require("joints_3d")
            self.mean_bone_mm.copy_(scale_bone(joints[whole]).mean() if whole.any() else torch.ones(()))

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step a pair; a hand counts in a pair if both of its values are known."""
        if self.finder is not None and not self.finder.taken:
            raise ValueError("training needs the detector that is named: attach it first")
        for source, target in self.config.pairs:
            yield Phase(self.objective(batch, source, target, noise), group="all", name=f"{source}-{target}")

    def objective(self, hands: Hands, source: Modality, target: Modality, noise: Noise) -> CmLosses:
        """The loss of one pair: `source` is encoded, `target` decoded from a sample."""
        config = self.config
        seen, wanted = self.observed(hands, source), self.observed(hands, target)
        draw = noise.normal(len(hands), config.latent_dims).to(seen.device)
        if source == "2d" and config.joint_noise_px:
            shift = noise.normal(*seen.shape).to(seen) * (2 * config.joint_noise_px / self.crop.size_px)
            seen = seen + shift.masked_fill(~self.known(hands, "2d")[..., None], 0.0)
        posterior = self._encode(seen, source, hands)
        decoded = self.decoders[target](posterior.sample(noise=draw))
        known = self.known(hands, target)
        counted = self.known(hands, source).any(1) & known.any(1)
        share = counted / counted.sum().clamp_min(1)
        error, rate = (
            (known_error(decoded.float(), wanted, known) * share).sum(),
            (posterior.kl() * share).sum(),
        )
        count = wanted[0].numel()
        n = self.spec.joints * AXES.get(target, 3)
        beta = config.kl_weight * (count / n if config.reduction == "mean" else 1.0)
        beta *= min(1.0, (noise.step + 1) / max(1, config.rate_warmup_steps))
        total = error + rate * (beta / count)  # eq. (5), per value; beta = 1 is the equation itself
        if config.reduction == "sum":
            total = total * count
        return CmLosses(total=total, error=error, rate=rate, beta=total.new_tensor(beta))

    # ---------------------------------------------------------------- modalities

    def observed(self, hands: Hands, modality: Modality) -> Float[Tensor, "batch *shape"]:
        """A modality of crops as networks see it: RGB in [-.5, .5], depth in [-1, 1], crop units, bone units;
        0 for joints unknown."""
        match modality:
            case "rgb":
                image = hands.require("image")
                return image - 0.5
            case "depth":
                depth = hands.require("depth")
                return normalise_depth(
                    depth, depth_centre(hands, self.spec.root == "camera"), self.crop.cube_mm
                )
            case "2d":
                joints = hands.require("joints_2d")
                return to_crop_units(joints, self.crop.size_px).masked_fill(
                    ~self.known(hands, "2d")[..., None], 0.0
                )
            case "3d":
                return self.joints_of(hands)

    def known(self, hands: Hands, modality: Modality) -> Bool[Tensor, "batch joint"]:
        """Which joints of a modality have a label; all, if it is a picture. Of a pose held back, 3D joints
        are unknown."""
        if modality == "3d":
            return self.labelled(hands)
        if modality == "2d" and hands.joint_valid is not None:
            return hands.joint_valid
        value = hands.require(SOURCES[modality])
        return torch.ones(len(hands), self.spec.joints, dtype=torch.bool, device=value.device)

    def there(self, hands: Hands, modality: Modality) -> Bool[Tensor, " batch"]:
        """Which hands have a modality at all: a known joint, a pixel whose depth is known; a picture always
        is."""
        if modality == "depth":
            depth = hands.require("depth")
            return (depth > 0).flatten(1).any(1)
        return self.known(hands, modality).any(1)

    def _side(self, hands: Hands) -> Float[Tensor, "batch 2"] | None:
        if not self.config.side_given:
            return None
        side = hands.side
        if side is None:
            if self.spec.sides == "both":
                raise ValueError("this model is to be told which hand it sees, and the batch has no side")
            side = torch.full((len(hands),), LEFT if self.spec.sides == "left" else RIGHT)
        return torch.stack([side == LEFT, side == RIGHT], 1).float()

    # ---------------------------------------------------------------- use

    def joints_of(self, hands: Hands) -> Float[Tensor, "batch joint 3"]:
        """Joints relative to the root, in bone units (`unit_mm`); 0 where there is no label."""
        joints = hands.require("joints_3d")
        labelled = self.labelled(hands)
        origin = (
            cube_centre(joints, labelled) if self.config.root == "centre" else root(joints, self.config.root)
        )
        scale = scale_bone(joints) if self.unit_mm is None else torch.full_like(joints[:, 0, 0], self.unit_mm)
        return ((joints - origin[:, None]) / scale[:, None, None].clamp_min(1e-6)).masked_fill(
            ~labelled[..., None], 0.0
        )

    @property
    def unit_mm(self) -> float | None:
        """The mean bone where no scale is given, half of the cube where poses are relative to its centre."""
        if self.config.root == "centre":
            return self.crop.cube_mm / 2
        return None if self.config.scale_given else float(self.mean_bone_mm)

    def encode(self, hands: Hands, modality: Modality) -> RandomVariable:
        """The posterior of z, given one modality of crops."""
        return self._encode(self.observed(hands, modality), modality, hands)

    def _encode(
        self, seen: Float[Tensor, "batch *shape"], modality: Modality, hands: Hands
    ) -> RandomVariable:
        if modality == "rgb" and self.finder is not None:
            seen = self.finder(seen + 0.5).numbers.detach()
        return self.encoders[modality](seen, self._side(hands))

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "batch latent"], modality: Modality) -> Float[Tensor, "batch *shape"]:
        """Any modality of points of the latent space: RGB in [0, 1], depth in [-1, 1] of the cube, joints in
        crop or bone units."""
        value = self.decoders[modality](z).float()
        return (
            (value + 0.5).clamp(0, 1)
            if modality == "rgb"
            else value.clamp(-1, 1)
            if modality == "depth"
            else value
        )

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read poses from crops; several inputs are fused, and each hand does without those it lacks."""
        chosen: Sequence[Modality] = [
            modality for modality in self.config.encoded if SOURCES[modality] in inputs
        ]
        chosen = chosen or [self.config.input]
        posterior = fuse(
            [self.encode(hands, modality) for modality in chosen],
            [self.there(hands, modality) for modality in chosen],
        )
        return predict_by_samples(posterior, lambda z: self.decode(z, "3d"), self.config.posterior_samples)

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Error, rate and spread of the aggregate posterior on training hands; nothing is kept."""
        means, sums, count = [], torch.zeros(2), 0
        for batch in batches:
            posterior = self.encode(batch, self.config.input)
            valid = self.labelled(batch)
            distance = (self.decode(posterior.mean, "3d") - self.joints_of(batch)).norm(dim=2)
            sums += torch.stack([distance[valid].sum(), posterior.kl().sum()]).cpu()
            count += int(valid.sum())
            means.append(posterior.mean)
        mean = torch.cat(means)
        spread = mean.std(0)
        return {
            "training_error": float(sums[0]) / max(count, 1),
            "rate": float(sums[1]) / len(mean),
            "latent_spread_mean": float(spread.mean()),
            "latent_spread_min": float(spread.min()),
        }

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """Rows: the input, every modality decoded from it, the labels in 3D; a hand a column."""
        z = self.encode(batch, self.config.input).mean
        seen = self.observed(batch, self.config.input)
        rows = [self.shown(seen + 0.5 if self.config.input == "rgb" else seen, self.config.input)]
        rows += [self.shown(self.decode(z, modality), modality) for modality in self.config.decoded]
        rows.append(self.shown(self.joints_of(batch), "3d"))
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)

    def shown(self, value: Tensor, modality: Modality) -> Float[Tensor, "batch 3 size size"]:
        """Values of a modality as pictures; joints as limbs on white."""
        if modality in CHANNELS:
            picture = value if modality == "rgb" else (1 - value).expand(-1, 3, -1, -1) / 2
            return F.interpolate(picture, size=(SHEET_PX, SHEET_PX), mode="nearest")
        flat = value if modality == "2d" else in_own_crop(value[..., :2], self.crop.margin).nan_to_num()
        if self.spec.joints != len(PARENTS):
            return dots(flat, SHEET_PX)
        return drawn(flat, SHEET_PX, 0.02)


def _check(config: CmVaeConfig, spec: DataSpec) -> None:
    """Refuse data that cannot give what the pairs need."""
    needed = {SOURCES[modality] for pair in config.pairs for modality in pair} | (
        {"side"} if config.side_given else set()
    )
    missing = sorted(needed - set(spec.modalities))
    if missing:
        remedy = "set side_given to False, or " if missing == ["side"] else ""
        raise ValueError(f"these pairs need {', '.join(missing)} of every hand; {remedy}use data that has it")
    if spec.joints != len(PARENTS) and config.root != "centre":
        raise ValueError(
            f"palm, wrist and bones are of hands of {len(PARENTS)} joints, the data has {spec.joints}; set root to centre"
        )
