"""Soft-introspective training on random variables: the two objectives, and which network each may move.

The encoder is plain and describes a picture by a label and a latent variable; the decoder takes both as one random
variable. With S = 1/(values of a picture), r the reconstruction error and KL of the latent part:
    L_E = S(β_rec E r(x) + β_kl E KL(x)) + λ E ℓ(x) + ¼ Σ_{y ∈ {rec, fake}} E exp(−2S(β_rec r(y) + β_neg KL(y)))
    L_D = S(β_rec E r(x) + ½β_kl(E KL(rec) + E KL(fake))) + ½λ_D(E ℓ_m(rec) + E ℓ_m(fake))
Differs from the published step: fakes of the encoder half are detached, the two re-decodings of weight 1e-8 in the
decoder half are dropped, and λ_D (0 there) ties the label of a fake to the label that it was made from.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handvae.rv.losses import ImageVariance, PointVariance, point_error, reconstruction_error
from handvae.rv.variable import RandomVariable, cat


@dataclass(frozen=True)
class SoftIntroWeights:
    """Weights of the two objectives; letters as in the header."""

    rec: float = 1.0
    """β_rec."""
    kl: float = 1.0
    """β_kl."""
    neg: float = 256.0
    """β_neg."""
    label: float = 1.0
    """λ."""
    label_decoder: float = 0.1
    """λ_D; the published step has 0."""
    image_variance: ImageVariance = "squared"
    """Variance term of r."""
    label_variance: PointVariance = "squared"
    """Variance term of ℓ."""


@dataclass(frozen=True)
class Encoding:
    """What the encoder says about a batch of pictures."""

    label: RandomVariable
    """Points that are supervised, (batch, point, axis)."""
    latent: RandomVariable
    """The rest, (batch, size), with prior N(0, I)."""

    def code(self) -> RandomVariable:
        """Returns the decoder's input: flattened label, then latent."""
        return cast(RandomVariable, cat([self.label.flatten(1), self.latent], 1))

    def without_label_gradient(self) -> "Encoding":
        """Returns the encoding whose label is a constant, so that a term cannot train the label head."""
        return Encoding(self.label.detach(), self.latent)


Encoder = Callable[[Float[Tensor, "batch *shape"]], Encoding]
Decoder = Callable[[RandomVariable], RandomVariable]


@dataclass(frozen=True)
class EncoderHalf:
    """Terms of the encoder's objective, means over the batch."""

    loss: Float[Tensor, ""]
    kl_real: Float[Tensor, ""]
    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    exp_elbo_rec: Float[Tensor, ""]
    exp_elbo_fake: Float[Tensor, ""]
    encoding: Encoding
    """Of the real pictures, for the decoder half."""


@dataclass(frozen=True)
class DecoderHalf:
    """Terms of the decoder's objective, means over the batch."""

    loss: Float[Tensor, ""]
    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    label_rec: Float[Tensor, ""]
    label_fake: Float[Tensor, ""]


def encoder_half(
    encoder: Encoder,
    decoder: nn.Module,
    image: Float[Tensor, "batch *shape"],
    label: Float[Tensor, "batch point axis"],
    fake_code: RandomVariable,
    weights: SoftIntroWeights,
) -> EncoderHalf:
    """Computes L_E with the decoder frozen; a step of the encoder's optimiser follows.

    Args:
        encoder: maps pictures to encodings.
        decoder: maps codes to pictures; gets no gradient.
        image: real pictures.
        label: their labels.
        fake_code: codes to generate from; the decoder half takes the same.
        weights: weights of the terms.
    """
    scale = image.shape[0] / image.numel()
    with frozen(decoder):
        with torch.no_grad():
            fake = decoder(fake_code).mean
        encoding = encoder(image)
        reconstruction = decoder(encoding.code())
        # The label head must not learn to call fakes fake: its outputs are constants in the adversarial term.
        encoding_rec = encoder(reconstruction.mean.detach()).without_label_gradient()
        encoding_fake = encoder(fake).without_label_gradient()
        error_rec = reconstruction_error(reconstruction.mean.detach(), decoder(encoding_rec.code()), weights.image_variance)
        error_fake = reconstruction_error(fake, decoder(encoding_fake.code()), weights.image_variance)
    kl = encoding.latent.kl()
    fakes = [(error_rec, encoding_rec.latent.kl()), (error_fake, encoding_fake.latent.kl())]
    real = reconstruction_error(image, reconstruction, weights.image_variance)
    exp_elbos = fake_terms(fakes, scale, weights)
    # λ stays outside S: labels are few, picture values are many.
    label_term = weights.label * point_error(label, encoding.label, weights.label_variance).mean()
    loss = real_term(real, kl, scale, weights) + label_term + 0.25 * (exp_elbos[0] + exp_elbos[1])
    return EncoderHalf(
        loss=loss,
        kl_real=kl.mean().detach(),
        kl_rec=fakes[0][1].mean().detach(),
        kl_fake=fakes[1][1].mean().detach(),
        exp_elbo_rec=exp_elbos[0].detach(),
        exp_elbo_fake=exp_elbos[1].detach(),
        encoding=encoding,
    )


def decoder_half(
    encoder: nn.Module,
    decoder: Decoder,
    image: Float[Tensor, "batch *shape"],
    label: Float[Tensor, "batch point axis"],
    encoding: Encoding,
    fake_code: RandomVariable,
    fake_label: Float[Tensor, "batch point axis"],
    weights: SoftIntroWeights,
) -> DecoderHalf:
    """Computes L_D with the encoder frozen, gradients passing through it; a step of the decoder's optimiser follows."""
    scale = image.shape[0] / image.numel()
    reconstruction, fake = decoder(encoding.code().detach()), decoder(fake_code.detach())
    with frozen(encoder):
        encoding_rec, encoding_fake = encoder(reconstruction.mean), encoder(fake.mean)
    kl_rec, kl_fake = encoding_rec.latent.kl(), encoding_fake.latent.kl()
    label_rec = point_error(label, encoding_rec.label, "none").mean()
    label_fake = point_error(fake_label, encoding_fake.label, "none").mean()
    real = reconstruction_error(image, reconstruction, weights.image_variance)
    loss = decoder_term(real, kl_rec, kl_fake, scale, weights) + 0.5 * weights.label_decoder * (label_rec + label_fake)
    return DecoderHalf(
        loss=loss,
        kl_rec=kl_rec.mean().detach(),
        kl_fake=kl_fake.mean().detach(),
        label_rec=label_rec.detach(),
        label_fake=label_fake.detach(),
    )


def real_term(error: Float[Tensor, "batch"], kl: Float[Tensor, "batch"], scale: float, weights: SoftIntroWeights) -> Float[Tensor, ""]:
    """First term of L_E: S(β_rec E r + β_kl E KL)."""
    return scale * (weights.rec * error.mean() + weights.kl * kl.mean())


def fake_terms(
    fakes: Sequence[tuple[Float[Tensor, "batch"], Float[Tensor, "batch"]]], scale: float, weights: SoftIntroWeights
) -> list[Float[Tensor, ""]]:
    """The exponentials of L_E, E exp(−2S(β_rec r + β_neg KL)), for each pair of error and KL."""
    return [(-2.0 * scale * (weights.rec * error + weights.neg * kl)).exp().mean() for error, kl in fakes]


def decoder_term(
    error: Float[Tensor, "batch"], kl_rec: Float[Tensor, "batch"], kl_fake: Float[Tensor, "batch"], scale: float, weights: SoftIntroWeights
) -> Float[Tensor, ""]:
    """First term of L_D: S(β_rec E r + ½β_kl(E KL(rec) + E KL(fake)))."""
    return scale * (weights.rec * error.mean() + 0.5 * weights.kl * (kl_rec.mean() + kl_fake.mean()))


@contextmanager
def frozen(module: object) -> Iterator[None]:
    """Keeps a network's parameters out of the graphs built inside the block; gradients still pass through it."""
    parameters = [p for p in module.parameters() if p.requires_grad] if isinstance(module, nn.Module) else []
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
