"""Soft-Intro-SRV-VAE: SRV-VAE whose encoder also learns to tell generated pictures from real ones (Nicodemou
et al., section 4.1;
Daniel and Tamar, "Soft-IntroVAE", CVPR 2021).

Encoder and decoder play against each other. With y of {rec, fake}, rec a reconstruction and fake a picture of
another hand's pose and a
random appearance, S = 1/(values of a picture), r = |x - X|^2 + 50 mean(Var^2), KL of z_t only and l_p as in
SRV-VAE:
    L_E = S(b_rec r(x) + b_kl KL(x)) + lambda_p l_p(x) + 1/4 sum_y exp(-2S(b_rec r(y) + b_neg KL(y)))
    L_D = S(b_rec r(x) + b_kl/2 (KL(rec) + KL(fake))) + lambda_pD/2 (l_m(rec) + l_m(fake))
Both halves live in `rv.soft_intro`. A warm-up minimises the first two terms of L_E in both networks.
`latent="sample"` is a supervised Soft-IntroVAE without random variables. Ours beside it: all that SRV-VAE
has, lambda_pD, b_neg is
halved when generated pictures look more ordinary to the encoder than real ones. Open details and what we
chose: docs/papers/srv_vae.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae import rv
from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.rv.losses import ImageVariance, PointVariance, reconstruction_error
from handvae.systems.pose_appearance import PoseAppearanceConfig, PoseAppearanceVae
from handvae.systems.soft_intro_objective import (
    Coder,
    Encoding,
    Labels,
    OnFakes,
    RealPart,
    Reconstructions,
    Role,
    SoftIntroWeights,
    decoder_half,
    encoder_half,
    frozen,
    make,
    real_part,
)
from handvae.systems.system import Losses, Phase, Stage

WINDOW = 100
"""Steps over which the game is watched."""
WON = 1e-3
"""exp-ELBO of fakes below which the encoder has won: it learns nothing more from them."""
ROLES: tuple[Role, ...] = ("real", "rec", "fake")


@dataclass(frozen=True)
class SoftIntroConfig(PoseAppearanceConfig):
    """Every choice of Soft-Intro-SRV-VAE; the defaults are the paper's at 128 px (networks and weights of its
    base code)."""

    appearance_dims: int = 128
    """T, the size of z_t."""
    image_range: Literal["symmetric", "unit"] = "unit"
    """Networks see pictures in [-1, 1] or [0, 1]."""
    latent: Literal["rv", "sample"] = "rv"
    """How the decoder meets the latent: as random variables, or as one sample."""
    generation_variance: Literal["dirac", "unit", "posterior"] = "unit"
    """Variance of z_t when generating, in training's fakes too: none, 1 (base code; 2 in total), or the mean
    variance of the posterior."""
    blocks: Literal["strided", "residual"] = "residual"
    """What the networks are laid from: strided and transposed convolutions (SRV-VAE), or residual blocks
    (Soft-Intro-SRV-VAE)."""
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of the encoder's stages."""
    encoder_slope: float = 0.2
    """Slope of the encoder's leaky ReLU."""
    decoder_widths: tuple[int, ...] = (512, 512, 256, 128, 64, 64)
    """Channels of the decoder's first map and after each doubling."""
    warm_up: float = 10 / 150
    """Share of the run's steps that train both networks on real pictures only."""
    beta_rec: float = 0.5
    """Weight of reconstruction."""
    beta_kl: float = 1.0
    """Weight of the KL of real pictures (encoder) and of made ones (decoder)."""
    beta_neg: float = 1024.0
    """Weight of the KL of made pictures in the encoder's exponentials; watch `exp_elbo_fake`, which should
    lie between 0.1 and 0.9."""
    beta_rec_fake: float | None = None
    """Weight of reconstruction in the encoder's exponentials, never in nats; None is as for real pictures."""
    smallest_gap: float = -1.0
    """Mean KL(fake) - KL(real), nats, below which beta_neg is halved; a run that begins with a sharp model's
    weights begins at about -7."""
    scale: float | None = None
    """S; None is 1/(values of a picture)."""
    likelihood_sigma: float | None = None
    """A number: reconstruction is in nats of a Gaussian with this standard deviation (of a [0, 1] picture),
    times beta_rec."""
    image_variance: ImageVariance = "squared"
    """What the pixels' variance adds to reconstruction."""
    pose_weight: float = 1.0
    """lambda_p, outside S."""
    pose_variance: PointVariance = "squared"
    """What the pose's variance adds to l_p."""
    pose_consistency: float = 0.0
    """lambda_pD: the decoder is asked for pictures from which the encoder reads the pose they were made
    from."""
    pose_on_fakes: OnFakes = "none"
    """What the encoder is asked of poses in made pictures: nothing, to read them wrong, to read them
    right."""
    pose_on_fakes_weight: float = 0.1
    """Of that: share of lambda_p (cooperative), or weight inside the exponentials (adversarial; twice it
    times l_m should be about 1)."""
    pose_jitter: float = 0.0
    """Deviation of the noise on the poses of fakes, standardised."""
    statistics: Literal["follow", "keep"] = "follow"
    """Of batch normalisation: follow each batch (paper), or keep those of the model that the run begins
    with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warm_up <= 1:
            raise ValueError("warm_up is a share between 0 and 1")
        positive = (self.beta_rec, self.beta_kl, self.beta_neg)
        if not all(0 < value < float("inf") for value in positive):
            raise ValueError("beta_rec, beta_kl and beta_neg are positive")
        if not all(
            value is None or 0 < value < float("inf")
            for value in (self.scale, self.likelihood_sigma, self.beta_rec_fake)
        ):
            raise ValueError("scale, likelihood_sigma and beta_rec_fake are positive")
        poses = (self.pose_weight, self.pose_consistency, self.pose_on_fakes_weight, self.pose_jitter)
        if not all(0 <= value < float("inf") for value in poses):
            raise ValueError(
                "pose_weight, pose_consistency, pose_on_fakes_weight and pose_jitter are not negative"
            )


@dataclass(frozen=True)
class RealLosses(Losses):
    """The real part of L_E; `expected_image` and `linear_pose` are logged only, comparable across all
    options."""

    image: Float[Tensor, ""]
    """r(x), summed over the picture."""
    kl_real: Float[Tensor, ""]
    pose: Float[Tensor, ""]
    expected_image: Float[Tensor, ""]
    """Expected squared error per value."""
    linear_pose: Float[Tensor, ""]
    pose_variance: Float[Tensor, ""]
    image_variance: Float[Tensor, ""]


@dataclass(frozen=True)
class EncoderLosses(RealLosses):
    """L_E and its terms."""

    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    exp_elbo_rec: Float[Tensor, ""]
    exp_elbo_fake: Float[Tensor, ""]
    pose_rec: Float[Tensor, ""]
    """Squared error of the pose read from a reconstruction, standardised."""
    pose_fake: Float[Tensor, ""]
    beta_neg: Float[Tensor, ""]


@dataclass(frozen=True)
class ReconstructionLosses(Losses):
    """The decoder's part of a warm-up step."""

    image: Float[Tensor, ""]


@dataclass(frozen=True)
class DecoderLosses(ReconstructionLosses):
    """L_D and its terms."""

    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    pose_rec: Float[Tensor, ""]
    pose_fake: Float[Tensor, ""]


@dataclass(frozen=True)
class Fakes:
    """Pictures to be made, the same in both halves of a step."""

    code: RandomVariable
    labels: Labels


class SoftIntroSrvVae(PoseAppearanceVae[SoftIntroConfig]):
    """Soft-Intro-SRV-VAE and, with `latent="sample"`, a supervised Soft-IntroVAE."""

    own_progress = ("halvings", "watched")
    halvings: Tensor
    watched: Tensor

    def __init__(self, config: SoftIntroConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop)
        self.register_buffer("halvings", torch.zeros((), dtype=torch.int64))  # of b_neg
        self.register_buffer(
            "watched", torch.zeros(3)
        )  # steps, sums of KL(fake) - KL(real) and of exp-ELBO(fake)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Real pictures only, then the game."""
        both, share = ("encoder", "decoder"), self.config.warm_up
        return Stage("warm-up", both, share), Stage("adversarial", both, 1 - share)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """Two players, an optimiser each."""
        return {"encoder": (self.trunk, self.pose_head, self.appearance_head), "decoder": (self.decoder,)}

    # ---------------------------------------------------------------- training

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """The encoder's half, then the decoder's with the encoder updated; both look at the same
        reconstructions and fakes."""
        image = batch.require("image")
        device, count = image.device, len(batch)
        image = self.to_range(image)
        labels = Labels(self.standardise(self.joints_of(batch)), self.labelled(batch))
        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        draws = noise.normal(count, len(ROLES), self.pose_mean.numel() + self.config.appearance_dims).to(
            device
        )
        if self.config.statistics == "keep":
            self._rest_statistics()
        fakes = None if stage == "warm-up" else self._fakes(labels, noise)
        beta_neg = self.config.beta_neg * 0.5**self.halvings
        weights = self._weights(beta_neg)
        coder = self._coder(labels, labels if fakes is None else fakes.labels, exact, draws)
        made = make(self.encoding, self.picture, image, None if fakes is None else fakes.code, coder)
        if fakes is None:
            real = real_part(made, image, labels, weights)
            yield Phase(RealLosses(real.loss, **self._parts(real, made, image, labels)), "encoder", "encoder")
            error = reconstruction_error(image, made.reconstruction, weights.image_variance).mean()
            yield Phase(
                ReconstructionLosses(weights.scale_for(image) * weights.rec * error, error.detach()),
                "decoder",
                "decoder",
            )
        else:
            with frozen(self.decoder):
                half = encoder_half(
                    made, self.encoding, self.picture, image, labels, fakes.labels, weights, coder
                )
            losses = EncoderLosses(
                half.loss,
                **self._parts(half.real, made, image, labels),
                kl_rec=half.kl_rec,
                kl_fake=half.kl_fake,
                exp_elbo_rec=half.exp_elbo_rec,
                exp_elbo_fake=half.exp_elbo_fake,
                pose_rec=half.label_rec,
                pose_fake=half.label_fake,
                beta_neg=beta_neg,
            )
            yield Phase(losses, "encoder", "encoder")
            note = self._watch(losses, noise)
            with frozen(*self.groups["encoder"]):
                other = decoder_half(made, self.encoding, image, labels, fakes.labels, weights)
            named = DecoderLosses(
                other.loss, other.error, other.kl_rec, other.kl_fake, other.label_rec, other.label_fake
            )
            yield Phase(named, "decoder", "decoder", note)
        posterior = _agreed(made.encoding.latent.detach().var_or_zeros().mean(0), noise)
        self.posterior_variance.lerp_(posterior.clamp(0, 1), 0.01)

    # ---------------------------------------------------------------- networks

    def encoding(self, image: Float[Tensor, "batch 3 height width"]) -> Encoding:
        """What the encoder says of pictures in the networks' range."""
        read = self.encode_ranged(image)
        return Encoding(
            read.pose.map(lambda moment: moment.unflatten(1, (self.spec.joints, self.config.axes))),
            read.appearance,
        )

    def picture(self, code: RandomVariable) -> RandomVariable:
        """A decoded picture in the networks' range, float32 whatever the networks compute in."""
        dims = self.pose_mean.numel()
        pose, appearance = (
            code.map(lambda moment: moment[:, :dims]),
            code.map(lambda moment: moment[:, dims:]),
        )
        picture = self.decode(pose.mean, appearance.mean) if code.is_dirac else self.decode(pose, appearance)
        return (picture if isinstance(picture, RandomVariable) else RandomVariable(picture)).map(Tensor.float)

    # ---------------------------------------------------------------- parts

    def _weights(self, beta_neg: Tensor) -> SoftIntroWeights:
        config = self.config
        nats = (
            1.0 if config.likelihood_sigma is None else self.nats_per_squared_error(config.likelihood_sigma)
        )
        return SoftIntroWeights(
            rec=config.beta_rec * nats,
            rec_fake=config.beta_rec_fake,
            kl=config.beta_kl,
            neg=beta_neg,
            label=config.pose_weight,
            label_decoder=config.pose_consistency,
            image_variance=config.image_variance,
            label_variance=config.pose_variance,
            on_fakes=config.pose_on_fakes,
            label_fakes=config.pose_on_fakes_weight,
            scale=config.scale,
        )

    def _coder(
        self,
        labels: Labels,
        fake: Labels,
        exact: Bool[Tensor, "batch 1"],
        draws: Float[Tensor, "batch role latent"],
    ) -> Coder:
        """What the decoder meets: exact poses for the samples that are to be so taught, a sample instead of a
        distribution."""
        known = {"real": labels, "rec": labels, "fake": fake}
        noise = dict(zip(ROLES, draws.unbind(1), strict=True))

        def code(encoding: Encoding, role: Role) -> RandomVariable:
            points, valid = known[role].points, known[role].valid
            assert valid is not None
            pose = self.decoder_pose(encoding.label.flatten(1), points.flatten(1), valid, exact)
            latent = Encoding(pose.map(lambda moment: moment.view_as(points)), encoding.latent).code()
            return (
                RandomVariable(latent.sample(noise=noise[role])) if self.config.latent == "sample" else latent
            )

        return code

    def _fakes(self, labels: Labels, noise: Noise) -> Fakes:
        """Poses of the batch, shuffled (joints without label at their mean), with appearances from the
        prior."""
        count = len(labels.points)
        assert labels.valid is not None
        order = noise.permutation(count).to(labels.points.device)
        points, valid = labels.points[order], labels.valid[order]
        jitter = self.config.pose_jitter * noise.normal(count, *points.shape[1:]).to(points.device)
        points = points.masked_fill(~valid[..., None], 0.0) + jitter
        draw = noise.normal(count, points[0].numel() + self.config.appearance_dims).to(points.device)
        code = rv.cat(
            [points.flatten(1), self.with_generation_variance(self.random_appearance(count, noise))], 1
        )
        code = code if isinstance(code, RandomVariable) else RandomVariable(code)
        return Fakes(
            RandomVariable(code.sample(noise=draw)) if self.config.latent == "sample" else code,
            Labels(points, valid),
        )

    @torch.no_grad()
    def _parts(
        self, real: RealPart, made: Reconstructions, image: Tensor, labels: Labels
    ) -> dict[str, Tensor]:
        """Values of the log."""
        return {
            "image": real.error,
            "kl_real": real.kl,
            "pose": real.label,
            "expected_image": reconstruction_error(image, made.reconstruction, "expected").mean()
            / image[0].numel(),
            "linear_pose": labels.error(made.encoding.label, "linear"),
            "pose_variance": made.encoding.label.var_or_zeros().mean(),
            "image_variance": made.reconstruction.var_or_zeros().mean(),
        }

    @torch.no_grad()
    def _watch(self, losses: EncoderLosses, noise: Noise) -> str:
        """Halve b_neg where fakes have the smaller KL; returns what people should know."""
        now = torch.stack([losses.kl_fake - losses.kl_real, losses.exp_elbo_fake])
        self.watched += torch.cat([now.new_ones(1), _agreed(now, noise)])
        if (noise.step + 1) % WINDOW:
            return ""
        steps, gap, exp_elbo = self.watched.tolist()
        self.watched.zero_()
        if steps < WINDOW / 2:  # the game has only begun
            return ""
        if gap / steps < self.config.smallest_gap:
            self.halvings += 1
            now_at = self.config.beta_neg * 0.5 ** int(self.halvings)
            return f"KL(fake) - KL(real) was {gap / steps:.2f} nats on average: beta_neg is now {now_at:g}"
        if exp_elbo / steps < WON:
            return f"exp-ELBO of fakes is {exp_elbo / steps:.1e}: the encoder has won; lower --system.beta-neg or --system.scale"
        return ""

    def _rest_statistics(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def _agreed(value: Tensor, noise: Noise) -> Tensor:
    """The mean over all processes: what is decided by it must be decided alike by all."""
    if noise.ranks > 1:
        torch.distributed.all_reduce(value)
        value /= noise.ranks
    return value
