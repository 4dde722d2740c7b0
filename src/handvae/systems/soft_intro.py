"""Soft-Intro-SRV-VAE: an SRV-VAE whose encoder also learns to tell generated images from real ones.

Nicodemou et al., section 4.1, after Daniel and Tamar, "Soft-IntroVAE", CVPR 2021. Encoder and decoder play
against each other. rec is a reconstruction and fake an image of another hand's pose with a random appearance;
with S = 1/(values of an image), r = |x - X|^2 + 50 mean(Var^2), KL of z_t alone and l_p as in SRV-VAE:
    L_E = S(b_rec r(x) + b_kl KL(x)) + lambda_p l_p(x)
          + 1/4 sum_{y in {rec, fake}} exp(-2S(b_rec r(y) + b_neg KL(y)))                  eq. (1)
    L_D = S(b_rec r(x) + b_kl/2 (KL(rec) + KL(fake))) + lambda_pD/2 (l_m(rec) + l_m(fake)) eq. (2)
numbered as in `soft_intro_objective`, which holds both. A warm-up minimises the terms of real images in both
networks. `latent="sample"` is a supervised Soft-IntroVAE without random variables.
Ours: all that SRV-VAE has, lambda_pD, and b_neg is halved when the encoder finds generated images more
ordinary than real ones. Open details and what we chose: docs/papers/srv_vae.md.
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
    real_part,
    reconstruct,
)
from handvae.systems.system import Losses, Phase, Stage

WINDOW = 100
"""Steps over which the game is watched."""
WON = 1e-3
"""exp-ELBO of fakes below which the encoder has won: it learns nothing more from them."""
ROLES: tuple[Role, ...] = ("real", "rec", "fake")


@dataclass(frozen=True)
class SoftIntroConfig(PoseAppearanceConfig):
    """Every choice of Soft-Intro-SRV-VAE; the defaults are the paper's base code's at 128 px."""

    appearance_dims: int = 128
    """T, the size of z_t."""
    image_range: Literal["symmetric", "unit"] = "unit"
    """Networks see images in [-1, 1] or [0, 1]."""
    latent: Literal["rv", "sample"] = "rv"
    """What the decoder gets of the latent: random variables, or one sample."""
    generation_variance: Literal["dirac", "unit", "posterior"] = "unit"
    """Variance of z_t when generating, also for the fakes of training: none, 1 (base code; 2 in total), or
    the mean variance of the posterior."""
    blocks: Literal["strided", "residual"] = "residual"
    """Blocks of the networks: strided and transposed convolutions (SRV-VAE), or residual blocks
    (Soft-Intro-SRV-VAE)."""
    encoder_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Channels of the encoder's stages."""
    encoder_slope: float = 0.2
    """Slope of the encoder's leaky ReLU."""
    decoder_widths: tuple[int, ...] = (512, 512, 256, 128, 64, 64)
    """Channels of the decoder's first map and after each doubling."""
    warm_up: float = 10 / 150
    """Share of the run's steps that train both networks on real images only."""
    beta_rec: float = 0.5
    """Weight of reconstruction."""
    beta_kl: float = 1.0
    """Weight of the KL of real images (encoder) and of generated ones (decoder)."""
    beta_neg: float = 1024.0
    """Weight of the KL of generated images in the encoder's exponentials; watch `exp_elbo_fake`, which
    should lie between 0.1 and 0.9."""
    beta_rec_fake: float | None = None
    """Weight of reconstruction in the encoder's exponentials, never in nats; None is as for real images."""
    smallest_gap: float = -1.0
    """Mean KL(fake) - KL(real), nats, below which beta_neg is halved; a run from the weights of a sharp model
    begins at about -7."""
    scale: float | None = None
    """S; None is 1/(values of an image)."""
    likelihood_sigma: float | None = None
    """A number: reconstruction is in nats of a Gaussian with this standard deviation (of a [0, 1] image),
    times beta_rec."""
    image_variance: ImageVariance = "squared"
    """What the pixels' variance adds to reconstruction."""
    pose_weight: float = 1.0
    """lambda_p, outside S."""
    pose_variance: PointVariance = "squared"
    """What the pose's variance adds to l_p."""
    pose_consistency: float = 0.0
    """lambda_pD: the decoder shall make images from which the encoder predicts the pose they show."""
    pose_on_fakes: OnFakes = "none"
    """What the encoder learns to predict from generated images: nothing, wrong poses, the right poses."""
    pose_on_fakes_weight: float = 0.1
    """Weight of that: share of lambda_p (cooperative), or weight inside the exponentials (adversarial; twice
    it times l_m should be about 1)."""
    pose_jitter: float = 0.0
    """Deviation of the noise on the poses of fakes, standardised."""
    statistics: Literal["follow", "keep"] = "follow"
    """Statistics of batch normalisation: follow each batch (paper), or keep those of the initial model."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.warm_up <= 1:
            raise ValueError("warm_up is a share between 0 and 1")

        betas = (self.beta_rec, self.beta_kl, self.beta_neg)
        if not all(0 < beta < float("inf") for beta in betas):
            raise ValueError("beta_rec, beta_kl and beta_neg are positive")

        optional = (self.scale, self.likelihood_sigma, self.beta_rec_fake)
        if not all(value is None or 0 < value < float("inf") for value in optional):
            raise ValueError("scale, likelihood_sigma and beta_rec_fake are positive")

        weights = (self.pose_weight, self.pose_consistency, self.pose_on_fakes_weight, self.pose_jitter)
        if not all(0 <= weight < float("inf") for weight in weights):
            names = "pose_weight, pose_consistency, pose_on_fakes_weight and pose_jitter"
            raise ValueError(f"{names} are not negative")


@dataclass(frozen=True)
class RealLosses(Losses):
    """L_E's terms of real images; `expected_image` and `linear_pose` are logged only, to compare options."""

    image: Float[Tensor, ""]
    """r(x), summed over the image."""
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
    """Squared error of the pose predicted from a reconstruction, standardised."""
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
    """What fakes are generated from, the same in both halves of a step."""

    code: RandomVariable
    labels: Labels


class SoftIntroSrvVae(PoseAppearanceVae[SoftIntroConfig]):
    """Soft-Intro-SRV-VAE and, with `latent="sample"`, a supervised Soft-IntroVAE."""

    own_progress = ("halvings", "watched")
    halvings: Tensor
    """Of b_neg, so far."""
    watched: Tensor
    """Steps watched, and sums of KL(fake) - KL(real) and of exp-ELBO(fake)."""

    def __init__(self, config: SoftIntroConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__(config, spec, crop)
        self.register_buffer("halvings", torch.zeros((), dtype=torch.int64))
        self.register_buffer("watched", torch.zeros(3))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Real images only, then the game."""
        both, share = ("encoder", "decoder"), self.config.warm_up
        return Stage("warm-up", both, share), Stage("adversarial", both, 1 - share)

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """Two players, an optimiser each."""
        return {"encoder": (self.trunk, self.pose_head, self.appearance_head), "decoder": (self.decoder,)}

    # ---------------------------------------------------------------- training

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """The encoder's step, then the decoder's with the encoder updated, on the same images and fakes."""
        image = self.to_range(batch.require("image"))
        weights = self.labelled(batch) * self.label_weights(batch)
        labels = Labels(self.standardise(self.joints_of(batch)), weights)
        device, count = image.device, len(batch)

        # Random numbers, in an order that runs depend on.
        exact = noise.uniform(count, 1).to(device) < self.config.teacher_forcing
        latent_dims = self.pose_mean.numel() + self.config.appearance_dims
        draws = noise.normal(count, len(ROLES), latent_dims).to(device)
        fakes = None if stage == "warm-up" else self._fakes(labels, noise)

        # Reconstructions and fakes, decoded once for both steps.
        if self.config.statistics == "keep":
            self._freeze_statistics()

        coder = self._coder(labels, labels if fakes is None else fakes.labels, exact, draws)
        fake_code = None if fakes is None else fakes.code
        decoded = reconstruct(self.encoding, self.decode_code, image, fake_code, coder)

        if fakes is None:
            yield from self._warm_up(decoded, image, labels)
        else:
            yield from self._game(decoded, image, labels, fakes, coder, noise)

        # Running mean of the posterior's variance, for `generation_variance="posterior"`.
        variance = _mean_over_ranks(decoded.encoding.latent.detach().var_or_zeros().mean(0), noise)
        self.posterior_variance.lerp_(variance.clamp(0, 1), 0.01)

    def _warm_up(self, decoded: Reconstructions, image: Tensor, labels: Labels) -> Iterator[Phase]:
        """The terms of eq. (1) for real images in the encoder, reconstruction in the decoder."""
        weights = self._weights(self._beta_neg())
        real = real_part(decoded, image, labels, weights)
        yield Phase(RealLosses(real.loss, **self._logged(real, decoded, image, labels)), "encoder", "encoder")

        error = reconstruction_error(image, decoded.reconstruction, weights.image_variance).mean()
        loss = weights.scale_for(image) * weights.rec * error
        yield Phase(ReconstructionLosses(total=loss, image=error.detach()), "decoder", "decoder")

    def _game(
        self,
        decoded: Reconstructions,
        image: Tensor,
        labels: Labels,
        fakes: Fakes,
        coder: Coder,
        noise: Noise,
    ) -> Iterator[Phase]:
        """Eq. (1) in the encoder, then eq. (2) in the decoder."""
        beta_neg = self._beta_neg()
        weights = self._weights(beta_neg)

        with frozen(self.decoder):
            encoder = encoder_half(
                decoded, self.encoding, self.decode_code, image, labels, fakes.labels, weights, coder
            )

        losses = EncoderLosses(
            total=encoder.loss,
            **self._logged(encoder.real, decoded, image, labels),
            kl_rec=encoder.kl_rec,
            kl_fake=encoder.kl_fake,
            exp_elbo_rec=encoder.exp_elbo_rec,
            exp_elbo_fake=encoder.exp_elbo_fake,
            pose_rec=encoder.label_rec,
            pose_fake=encoder.label_fake,
            beta_neg=beta_neg,
        )
        yield Phase(losses, "encoder", "encoder")

        note = self._watch(losses, noise)
        with frozen(*self.groups["encoder"]):
            decoder = decoder_half(decoded, self.encoding, image, labels, fakes.labels, weights)

        decoder_losses = DecoderLosses(
            total=decoder.loss,
            image=decoder.error,
            kl_rec=decoder.kl_rec,
            kl_fake=decoder.kl_fake,
            pose_rec=decoder.label_rec,
            pose_fake=decoder.label_fake,
        )
        yield Phase(decoder_losses, "decoder", "decoder", note)

    # ---------------------------------------------------------------- networks

    def encoding(self, image: Float[Tensor, "batch 3 height width"]) -> Encoding:
        """The encoding of images in the networks' range."""
        latent = self.encode_ranged(image)
        points = (self.spec.joints, self.config.axes)
        return Encoding(
            label=latent.pose.map(lambda moment: moment.unflatten(1, points)), latent=latent.appearance
        )

    def decode_code(self, code: RandomVariable) -> RandomVariable:
        """An image in the networks' range, float32 whatever the networks compute in."""
        dims = self.pose_mean.numel()
        pose = code.map(lambda moment: moment[:, :dims])
        appearance = code.map(lambda moment: moment[:, dims:])
        image = self.decode(pose.mean, appearance.mean) if code.is_dirac else self.decode(pose, appearance)
        moments = image if isinstance(image, RandomVariable) else RandomVariable(image)
        return moments.map(Tensor.float)

    # ---------------------------------------------------------------- what the objectives get

    def _beta_neg(self) -> Tensor:
        return self.config.beta_neg * 0.5**self.halvings

    def _weights(self, beta_neg: Tensor) -> SoftIntroWeights:
        config, sigma = self.config, self.config.likelihood_sigma
        nats = 1.0 if sigma is None else self.nats_per_squared_error(sigma)
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
        fake_labels: Labels,
        exact: Bool[Tensor, "batch 1"],
        draws: Float[Tensor, "batch role latent"],
    ) -> Coder:
        """The decoder's input: the exact pose for `exact` samples, and a sample with `latent="sample"`."""
        labels_of: dict[Role, Labels] = {"real": labels, "rec": labels, "fake": fake_labels}
        draw_of = dict(zip(ROLES, draws.unbind(1), strict=True))

        def code(encoding: Encoding, role: Role) -> RandomVariable:
            points, valid = labels_of[role].points, labels_of[role].valid
            assert valid is not None
            pose = self.decoder_pose(encoding.label.flatten(1), points.flatten(1), valid > 0, exact)
            distribution = Encoding(pose.view(*points.shape), encoding.latent).code()
            if self.config.latent == "sample":
                return RandomVariable(distribution.sample(noise=draw_of[role]))
            return distribution

        return code

    def _fakes(self, labels: Labels, noise: Noise) -> Fakes:
        """The batch's poses in another order, with appearances from the prior.

        Joints without a label are at their mean.
        """
        assert labels.valid is not None
        device, count = labels.points.device, len(labels.points)

        order = noise.permutation(count).to(device)
        points, valid = labels.points[order], labels.valid[order] > 0
        jitter = self.config.pose_jitter * noise.normal(count, *points.shape[1:]).to(device)
        points = points.masked_fill(~valid[..., None], 0.0) + jitter

        draw = noise.normal(count, points[0].numel() + self.config.appearance_dims).to(device)
        appearance = self.with_generation_variance(self.random_appearance(count, noise))
        code = rv.cat([points.flatten(1), appearance], 1)
        code = code if isinstance(code, RandomVariable) else RandomVariable(code)
        if self.config.latent == "sample":
            code = RandomVariable(code.sample(noise=draw))

        return Fakes(code, Labels(points, valid))

    def _freeze_statistics(self) -> None:
        """Keep the statistics of batch normalisation."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()

    # ---------------------------------------------------------------- log

    @torch.no_grad()
    def _logged(
        self, real: RealPart, decoded: Reconstructions, image: Tensor, labels: Labels
    ) -> dict[str, Tensor]:
        """The fields of `RealLosses` but the total."""
        expected = reconstruction_error(image, decoded.reconstruction, "expected").mean()
        return {
            "image": real.error,
            "kl_real": real.kl,
            "pose": real.label,
            "expected_image": expected / image[0].numel(),
            "linear_pose": labels.error(decoded.encoding.label, "linear"),
            "pose_variance": decoded.encoding.label.var_or_zeros().mean(),
            "image_variance": decoded.reconstruction.var_or_zeros().mean(),
        }

    @torch.no_grad()
    def _watch(self, losses: EncoderLosses, noise: Noise) -> str:
        """Halve b_neg where fakes have the smaller KL; returns a note for the log, mostly empty."""
        now = torch.stack([losses.kl_fake - losses.kl_real, losses.exp_elbo_fake])
        self.watched += torch.cat([now.new_ones(1), _mean_over_ranks(now, noise)])
        if (noise.step + 1) % WINDOW:
            return ""

        steps, gap, exp_elbo = self.watched.tolist()
        self.watched.zero_()
        if steps < WINDOW / 2:  # the game has only begun
            return ""

        if gap / steps < self.config.smallest_gap:
            self.halvings += 1
            beta_neg = self.config.beta_neg * 0.5 ** int(self.halvings)
            return f"KL(fake) - KL(real) was {gap / steps:.2f} nats on average: beta_neg is now {beta_neg:g}"

        if exp_elbo / steps < WON:
            fault = f"exp-ELBO of fakes is {exp_elbo / steps:.1e}: the encoder has won"
            return f"{fault}; lower --system.beta-neg or --system.scale"

        return ""


def _mean_over_ranks(value: Tensor, noise: Noise) -> Tensor:
    """The mean over all processes, which must decide alike; `value` is overwritten."""
    if noise.ranks > 1:
        torch.distributed.all_reduce(value)
        value /= noise.ranks
    return value
