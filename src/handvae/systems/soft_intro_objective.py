"""Soft-introspective training on random variables: the objectives of encoder and decoder.

Daniel and Tamar, "Soft-IntroVAE", CVPR 2021, with a supervised part of the latent. The encoder describes an
image x by a label and a latent variable, the decoder takes both as one random variable; rec is the
reconstruction of x, fake an image of another label and of a latent from the prior. With
S = 1/(values of an image), r the reconstruction error, KL that of the latent part and ℓ the label's error:
    L_E = S(β_rec E r(x) + β_kl E KL(x)) + λ E ℓ(x)
          + ¼ Σ_{y ∈ {rec, fake}} E exp(−2S(β_rec r(y) + β_neg KL(y)))                             (1)
    L_D = S(β_rec E r(x) + ½β_kl(E KL(rec) + E KL(fake))) + ½λ_D(E ℓ_m(rec) + E ℓ_m(fake))         (2)
Differs from the published step: fakes of (1) are detached; the two re-decodings of weight 1e-8 in (2) are
dropped; reconstruction and fakes are decoded once for both objectives, as the decoder does not move between
them; λ_D (0 there) ties the label of a fake to the label that it was made from.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.rv.losses import ImageVariance, PointVariance, point_error, reconstruction_error
from handvae.rv.variable import RandomVariable, cat

Role = Literal["real", "rec", "fake"]
"""What an encoding is of: a real image, its reconstruction, or a generated one."""
OnFakes = Literal["none", "adversarial", "cooperative"]
"""What the encoder's objective asks of the labels that it predicts from generated images.

"none": nothing. "adversarial": to be wrong, so that they help to tell fakes from real images; this corrupts
the label head. "cooperative": to be right; the networks may then agree on a code of their own.
"""


@dataclass(frozen=True)
class SoftIntroWeights:
    """Weights of the two objectives; letters as in the header."""

    rec: float = 1.0
    """β_rec."""
    kl: float = 1.0
    """β_kl."""
    neg: float | Float[Tensor, ""] = 256.0
    """β_neg; a tensor, where it changes during training."""
    rec_fake: float | None = None
    """β_rec inside the exponentials; None is β_rec. Where reconstruction weighs much against β_neg KL, the
    encoder wins by reconstructing fakes badly."""
    label: float = 1.0
    """λ."""
    label_decoder: float = 0.1
    """λ_D; the published step has 0."""
    image_variance: ImageVariance = "squared"
    """Variance term of r. "expected" is not used inside the exponentials: the encoder could lower them by
    variance alone."""
    label_variance: PointVariance = "squared"
    """Variance term of ℓ; ℓ_m has none."""
    on_fakes: OnFakes = "none"
    """What is asked of the labels of generated images."""
    label_fakes: float = 0.25
    """With "adversarial": β_negp, of ℓ_m inside the exponentials' bracket and outside S; 2 β_negp ℓ_m is
    about 1. With "cooperative": share of λ that ½(ℓ_m(rec) + ℓ_m(fake)) gets."""
    scale: float | None = None
    """S; None is 1/(values of an image)."""

    def scale_for(self, image: Float[Tensor, "batch *shape"]) -> float:
        """Returns S."""
        return image.shape[0] / image.numel() if self.scale is None else self.scale


# --------------------------------------------------------------------------------------- labels and encodings


@dataclass(frozen=True)
class Labels:
    """Points that images are labelled with, or were made from."""

    points: Float[Tensor, "batch point axis"]
    valid: Bool[Tensor, "batch point"] | Float[Tensor, "batch point"] | None = None
    """Points that count, or their weights; None for all."""

    def error(self, prediction: RandomVariable, variance: PointVariance = "none") -> Float[Tensor, ""]:
        """Returns E ℓ, the mean of `point_error` over the batch."""
        return point_error(self.points, prediction, variance, valid=self.valid).mean()


@dataclass(frozen=True)
class Encoding:
    """The encoder's output for a batch of images."""

    label: RandomVariable
    """The supervised points, (batch, point, axis)."""
    latent: RandomVariable
    """The rest, (batch, size), with prior N(0, I)."""

    def code(self) -> RandomVariable:
        """Returns the decoder's input: flattened label, then latent."""
        return cast(RandomVariable, cat([self.label.flatten(1), self.latent], 1))

    def without_label_gradient(self) -> "Encoding":
        """Returns the encoding whose label is a constant, so that a term cannot train the label head."""
        return Encoding(self.label.detach(), self.latent)


def full_code(encoding: Encoding, role: Role) -> RandomVariable:
    """The published choice of the decoder's input: all of the encoding."""
    return encoding.code()


Encoder = Callable[[Float[Tensor, "batch *shape"]], Encoding]
Decoder = Callable[[RandomVariable], RandomVariable]
Coder = Callable[[Encoding, Role], RandomVariable]
"""The decoder's input for an encoding: all of it (`full_code`), a sample, or an exact label for the predicted
one."""


# -------------------------------------------------------------------------------------------- reconstructions


@dataclass(frozen=True)
class Reconstructions:
    """Decoded images that both objectives use."""

    encoding: Encoding
    """Of the real images, with the encoder's graph."""
    code: RandomVariable
    """The decoder's input, with the encoder's graph."""
    detached_code: RandomVariable
    """The same values, where the decoder's graph begins."""
    reconstruction: RandomVariable
    """Decoded from the detached code, with the decoder's graph."""
    fake: RandomVariable | None
    """Decoded from codes of no image, with the decoder's graph; none in a warm-up."""

    def backprop_to_code(self, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Returns a function of the reconstruction as the encoder gets it.

        Its gradient goes through the detached code into the code. The decoder's graph is kept, for its own
        objective.
        """
        gradients = torch.autograd.grad(value, self.detached_code.known_moments(), retain_graph=True)
        code = self.code.known_moments()
        return _WithGradients.apply(value.detach(), *code, *gradients)  # pyright: ignore[reportReturnType]


class _WithGradients(torch.autograd.Function):
    """A value whose gradients are given: maps (value, input..., gradient for each input...) to value."""

    @staticmethod
    def forward(value: Tensor, *inputs_and_gradients: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        gradients = inputs[1 + len(inputs) // 2 :]
        ctx.save_for_backward(*gradients)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        of_inputs = [grad_outputs[0] * gradient for gradient in gradients]
        return None, *of_inputs, *(None for _ in gradients)


def reconstruct(
    encoder: Encoder,
    decoder: Decoder,
    image: Float[Tensor, "batch *shape"],
    fake_code: RandomVariable | None = None,
    coder: Coder = full_code,
) -> Reconstructions:
    """Reconstructs real images and generates fakes, for both objectives.

    Args:
        encoder: maps images to encodings.
        decoder: maps codes to images; neither network is frozen.
        image: real images.
        fake_code: codes to generate from; none in a warm-up.
        coder: chooses the decoder's input for an encoding.
    """
    encoding = encoder(image)
    code = coder(encoding, "real")
    detached_code = code.map(lambda moment: moment.detach().requires_grad_())

    return Reconstructions(
        encoding=encoding,
        code=code,
        detached_code=detached_code,
        reconstruction=decoder(detached_code),
        fake=None if fake_code is None else decoder(fake_code.detach()),
    )


# ------------------------------------------------------------------------------------------- the encoder, L_E


@dataclass(frozen=True)
class RealPart:
    """The terms of L_E for real images, which are all that a warm-up minimises."""

    loss: Float[Tensor, ""]
    error: Float[Tensor, ""]
    """E r(x)."""
    kl: Float[Tensor, ""]
    label: Float[Tensor, ""]
    """E ℓ(x)."""


@dataclass(frozen=True)
class EncoderHalf:
    """The encoder's objective and its terms, means over the batch."""

    loss: Float[Tensor, ""]
    real: RealPart
    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    exp_elbo_rec: Float[Tensor, ""]
    exp_elbo_fake: Float[Tensor, ""]
    label_rec: Float[Tensor, ""]
    """E ℓ_m(rec)."""
    label_fake: Float[Tensor, ""]


@dataclass(frozen=True)
class _GeneratedPart:
    """The terms of L_E for one kind of generated image."""

    exp_elbo: Float[Tensor, ""]
    """E exp(...)."""
    kl: Float[Tensor, ""]
    label: Float[Tensor, ""]
    """E ℓ_m(y)."""


def real_part(
    reconstructions: Reconstructions,
    image: Float[Tensor, "batch *shape"],
    labels: Labels,
    weights: SoftIntroWeights,
) -> RealPart:
    """Computes S(β_rec E r(x) + β_kl E KL(x)) + λ E ℓ(x), whose gradient reaches the encoder alone."""
    encoding = reconstructions.encoding
    error = reconstruction_error(image, reconstructions.reconstruction, weights.image_variance).mean()
    kl = encoding.latent.kl().mean()
    label = labels.error(encoding.label, weights.label_variance)

    # λ stays outside S: labels are few, image values are many.
    error_for_encoder = reconstructions.backprop_to_code(error)
    scale = weights.scale_for(image)
    loss = real_term(error_for_encoder, kl, scale, weights) + weights.label * label

    return RealPart(loss=loss, error=error.detach(), kl=kl.detach(), label=label.detach())


def encoder_half(
    reconstructions: Reconstructions,
    encoder: Encoder,
    decoder: Decoder,
    image: Float[Tensor, "batch *shape"],
    labels: Labels,
    fake_labels: Labels,
    weights: SoftIntroWeights,
    coder: Coder = full_code,
) -> EncoderHalf:
    """Computes L_E with the decoder frozen (where it is a module), for a step of the encoder's optimiser.

    Args:
        reconstructions: from `reconstruct`, with fakes.
        encoder: maps images to encodings.
        decoder: maps codes to images; gets no gradient.
        image: real images.
        labels: labels of the real images.
        fake_labels: labels that the fakes were made from.
        weights: weights of the terms.
        coder: chooses the decoder's input for an encoding.
    """
    assert reconstructions.fake is not None
    scale = weights.scale_for(image)

    def generated_part(role: Role, generated: RandomVariable, made_from: Labels) -> _GeneratedPart:
        return _generated_part(role, generated, made_from, encoder, decoder, scale, weights, coder)

    real = real_part(reconstructions, image, labels, weights)
    with frozen(decoder):
        rec = generated_part("rec", reconstructions.reconstruction, labels)
        fake = generated_part("fake", reconstructions.fake, fake_labels)

    # (1): real images, then both exponentials.
    loss = real.loss + 0.25 * (rec.exp_elbo + fake.exp_elbo)
    if weights.on_fakes == "cooperative":
        loss = loss + weights.label_fakes * weights.label * 0.5 * (rec.label + fake.label)

    return EncoderHalf(
        loss=loss,
        real=real,
        kl_rec=rec.kl.detach(),
        kl_fake=fake.kl.detach(),
        exp_elbo_rec=rec.exp_elbo.detach(),
        exp_elbo_fake=fake.exp_elbo.detach(),
        label_rec=rec.label.detach(),
        label_fake=fake.label.detach(),
    )


def _generated_part(
    role: Role,
    generated: RandomVariable,
    made_from: Labels,
    encoder: Encoder,
    decoder: Decoder,
    scale: float,
    weights: SoftIntroWeights,
    coder: Coder,
) -> _GeneratedPart:
    """The exponential of one kind of generated image, whose mean is encoded and decoded again."""
    image = generated.mean.detach()
    encoding = encoder(image)
    adversarial = weights.on_fakes == "adversarial"

    # The label head must not learn to tell fakes: in the exponential its outputs are constants.
    decoded_encoding = encoding if adversarial else encoding.without_label_gradient()

    # The encoder could inflate the variance of fakes to lower the exponential.
    variance: ImageVariance = "none" if weights.image_variance == "expected" else weights.image_variance
    error = reconstruction_error(image, decoder(coder(decoded_encoding, role)), variance)

    label_error = None

    if adversarial:
        distance = point_error(made_from.points, encoding.label, "none", valid=made_from.valid)
        label_error = weights.label_fakes * distance

    kl = encoding.latent.kl()
    return _GeneratedPart(
        exp_elbo=fake_term(error, kl, scale, weights, label_error),
        kl=kl.mean(),
        label=made_from.error(encoding.label),
    )


# ------------------------------------------------------------------------------------------- the decoder, L_D


@dataclass(frozen=True)
class DecoderHalf:
    """The decoder's objective and its terms, means over the batch."""

    loss: Float[Tensor, ""]
    error: Float[Tensor, ""]
    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    label_rec: Float[Tensor, ""]
    label_fake: Float[Tensor, ""]


def decoder_half(
    reconstructions: Reconstructions,
    encoder: Encoder,
    image: Float[Tensor, "batch *shape"],
    labels: Labels,
    fake_labels: Labels,
    weights: SoftIntroWeights,
) -> DecoderHalf:
    """Computes L_D with the encoder frozen (where it is a module), for a step of the decoder's optimiser.

    Gradients pass through the frozen encoder.

    Args:
        reconstructions: from `reconstruct`, with fakes; the decoder has not moved since.
        encoder: maps images to encodings; gets no gradient.
        image: real images.
        labels: labels of the real images.
        fake_labels: labels that the fakes were made from.
        weights: weights of the terms.
    """
    assert reconstructions.fake is not None
    with frozen(encoder):
        rec = encoder(reconstructions.reconstruction.mean)
        fake = encoder(reconstructions.fake.mean)

    error = reconstruction_error(image, reconstructions.reconstruction, weights.image_variance)
    kl_rec, kl_fake = rec.latent.kl(), fake.latent.kl()
    label_rec, label_fake = labels.error(rec.label), fake_labels.error(fake.label)

    # (2): the decoder's ELBOs, then the labels' consistency.
    elbo_term = decoder_term(error, kl_rec, kl_fake, weights.scale_for(image), weights)
    consistency = 0.5 * weights.label_decoder * (label_rec + label_fake)
    return DecoderHalf(
        loss=elbo_term + consistency,
        error=error.mean().detach(),
        kl_rec=kl_rec.mean().detach(),
        kl_fake=kl_fake.mean().detach(),
        label_rec=label_rec.detach(),
        label_fake=label_fake.detach(),
    )


# ------------------------------------------------------------------------------------------------------ terms


def real_term(
    error: Float[Tensor, ""], kl: Float[Tensor, ""], scale: float, weights: SoftIntroWeights
) -> Float[Tensor, ""]:
    """First term of L_E: S(β_rec E r + β_kl E KL), of the expectations."""
    return scale * (weights.rec * error + weights.kl * kl)


def fake_term(
    error: Float[Tensor, "batch"],
    kl: Float[Tensor, "batch"],
    scale: float,
    weights: SoftIntroWeights,
    label_error: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """An exponential of L_E: E exp(−2(S(β_rec r + β_neg KL) + β_negp ℓ_m)), `label_error` the last term."""
    rec = weights.rec if weights.rec_fake is None else weights.rec_fake
    bracket = scale * (rec * error + weights.neg * kl)
    if label_error is not None:
        bracket = bracket + label_error
    return (-2.0 * bracket).exp().mean()


def decoder_term(
    error: Float[Tensor, "batch"],
    kl_rec: Float[Tensor, "batch"],
    kl_fake: Float[Tensor, "batch"],
    scale: float,
    weights: SoftIntroWeights,
) -> Float[Tensor, ""]:
    """First term of L_D: S(β_rec E r + ½β_kl(E KL(rec) + E KL(fake)))."""
    return scale * (weights.rec * error.mean() + 0.5 * weights.kl * (kl_rec.mean() + kl_fake.mean()))


@contextmanager
def frozen(*networks: object) -> Iterator[None]:
    """Keeps the parameters of modules out of graphs built inside the block; gradients still pass through.

    Networks that are no modules are left alone.
    """
    modules = [network for network in networks if isinstance(network, nn.Module)]
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)

    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
