"""Soft-introspective training on random variables: the objectives of both halves, and which network each may
move.

The encoder is plain and describes a picture by a label and a latent variable; the decoder takes both as one
random
variable. With S = 1/(values of a picture), r the reconstruction error and KL of the latent part:
    L_E = S(β_rec E r(x) + β_kl E KL(x)) + λ E ℓ(x) + ¼ Σ_{y ∈ {rec, fake}} E exp(−2S(β_rec r(y) + β_neg
    KL(y)))
    L_D = S(β_rec E r(x) + ½β_kl(E KL(rec) + E KL(fake))) + ½λ_D(E ℓ_m(rec) + E ℓ_m(fake))
Differs from the published step: fakes of the encoder half are detached, the two re-decodings of weight 1e-8
in the
decoder half are dropped, the reconstruction and the fakes are decoded once for both halves (the decoder does
not move
between them), and λ_D (0 there) ties the label of a fake to the label that it was made from.
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
"""Which picture an encoding is of: a real one, its reconstruction, or a generated one."""
OnFakes = Literal["none", "adversarial", "cooperative"]
"""What the encoder's half asks of the labels that it reads from pictures that are not real.

"none": nothing. "adversarial": to be wrong, so that fakes are told apart by them too; this corrupts the label
head.
"cooperative": to be right; the networks may then agree on a code of their own.
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
    encoder wins by reconstructing
    fakes badly."""
    label: float = 1.0
    """λ."""
    label_decoder: float = 0.1
    """λ_D; the published step has 0."""
    image_variance: ImageVariance = "squared"
    """Variance term of r. "expected" is not used inside the exponentials: the encoder could lower them by
    variance alone."""
    label_variance: PointVariance = "squared"
    """Variance term of ℓ."""
    on_fakes: OnFakes = "none"
    """What is asked of the labels of fakes."""
    label_fakes: float = 0.25
    """With "adversarial": β_negp, of ℓ_m inside the exponentials' bracket and outside S; 2 β_negp ℓ_m is
    about 1. With
    "cooperative": share of λ that ½(ℓ_m(rec) + ℓ_m(fake)) gets."""
    scale: float | None = None
    """S; None is 1/(values of a picture)."""

    def scale_for(self, image: Float[Tensor, "batch *shape"]) -> float:
        """Returns S."""
        return image.shape[0] / image.numel() if self.scale is None else self.scale


@dataclass(frozen=True)
class Labels:
    """Points that pictures are labelled with, or were made from."""

    points: Float[Tensor, "batch point axis"]
    valid: Bool[Tensor, "batch point"] | None = None
    """Points that count; all, if left out."""

    def error(self, read: RandomVariable, variance: PointVariance = "none") -> Float[Tensor, ""]:
        """Returns the mean of `point_error` over the batch."""
        return point_error(self.points, read, variance, valid=self.valid).mean()


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


def own_code(encoding: Encoding, role: Role) -> RandomVariable:
    """The published choice: the decoder is given what the encoder says."""
    return encoding.code()


Encoder = Callable[[Float[Tensor, "batch *shape"]], Encoding]
Decoder = Callable[[RandomVariable], RandomVariable]
Coder = Callable[[Encoding, Role], RandomVariable]
"""What the decoder is given of an encoding: all of it (`own_code`), a sample, an exact label in place of the
read one."""


@dataclass(frozen=True)
class Reconstructions:
    """Pictures that both halves of a step look at, decoded once."""

    encoding: Encoding
    """Of the real pictures, with the encoder's graph."""
    code: RandomVariable
    """What the decoder was given of it, with the encoder's graph."""
    detached_code: RandomVariable
    """The same values, where the decoder's graph begins."""
    reconstruction: RandomVariable
    """Decoded from the knot, with the decoder's graph."""
    fake: RandomVariable | None
    """Decoded from codes of no picture, with the decoder's graph; none in a warm-up."""

    def backprop_to_code(self, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Returns a function of the reconstruction as the encoder feels it: its gradient goes through the
        knot into the code.

        The decoder's graph is kept, for its own half.
        """
        gradients = torch.autograd.grad(value, self.detached_code.known_moments(), retain_graph=True)
        return _Tied.apply(value.detach(), *self.code.known_moments(), *gradients)  # pyright: ignore[reportReturnType]


class _Tied(torch.autograd.Function):
    """A value whose gradients are known already: (value, x..., gradient of each x...) to value."""

    @staticmethod
    def forward(value: Tensor, *ends: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1 + len(inputs) // 2 :])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        known = ctx.saved_tensors
        return None, *(grad_outputs[0] * gradient for gradient in known), *(None for _ in known)


@dataclass(frozen=True)
class RealPart:
    """The part of L_E that real pictures have in it, and all that a warm-up minimises."""

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
class DecoderHalf:
    """The decoder's objective and its terms, means over the batch."""

    loss: Float[Tensor, ""]
    error: Float[Tensor, ""]
    kl_rec: Float[Tensor, ""]
    kl_fake: Float[Tensor, ""]
    label_rec: Float[Tensor, ""]
    label_fake: Float[Tensor, ""]


def make(
    encoder: Encoder,
    decoder: Decoder,
    image: Float[Tensor, "batch *shape"],
    fake_code: RandomVariable | None = None,
    coder: Coder = own_code,
) -> Reconstructions:
    """Reconstructs real pictures and makes fakes, for both halves.

    Args:
        encoder: maps pictures to encodings.
        decoder: maps codes to pictures; neither network frozen.
        image: real pictures.
        fake_code: codes to generate from; none in a warm-up.
        coder: what the decoder is given of an encoding.
    """
    encoding = encoder(image)
    code = coder(encoding, "real")
    detached_code = code.map(lambda moment: moment.detach().requires_grad_())
    reconstruction = decoder(detached_code)
    return Reconstructions(
        encoding,
        code,
        detached_code,
        reconstruction,
        None if fake_code is None else decoder(fake_code.detach()),
    )


def real_part(
    made: Reconstructions, image: Float[Tensor, "batch *shape"], labels: Labels, weights: SoftIntroWeights
) -> RealPart:
    """Computes S(β_rec E r(x) + β_kl E KL(x)) + λ E ℓ(x), felt by the encoder alone."""
    error = reconstruction_error(image, made.reconstruction, weights.image_variance).mean()
    kl = made.encoding.latent.kl().mean()
    label = labels.error(made.encoding.label, weights.label_variance)
    # λ stays outside S: labels are few, picture values are many.
    loss = (
        real_term(made.backprop_to_code(error), kl, weights.scale_for(image), weights) + weights.label * label
    )
    return RealPart(loss, error.detach(), kl.detach(), label.detach())


def encoder_half(
    made: Reconstructions,
    encoder: Encoder,
    decoder: Decoder,
    image: Float[Tensor, "batch *shape"],
    labels: Labels,
    fake_labels: Labels,
    weights: SoftIntroWeights,
    coder: Coder = own_code,
) -> EncoderHalf:
    """Computes L_E with the decoder frozen (where it is a module); a step of the encoder's optimiser follows.

    Args:
        made: what `make` made, with fakes.
        encoder: maps pictures to encodings.
        decoder: maps codes to pictures; gets no gradient.
        image: real pictures.
        labels: of them.
        fake_labels: what the fakes were made from.
        weights: weights of the terms.
        coder: what the decoder is given of an encoding.
    """
    assert made.fake is not None
    scale = weights.scale_for(image)
    real = real_part(made, image, labels, weights)
    # The encoder could inflate the variance of fakes to lower the exponentials.
    variance: ImageVariance = "none" if weights.image_variance == "expected" else weights.image_variance
    terms: list[Float[Tensor, ""]] = []
    kls: list[Float[Tensor, ""]] = []
    label_errors: list[Float[Tensor, ""]] = []
    shown_again: tuple[tuple[Role, RandomVariable, Labels], ...] = (
        ("rec", made.reconstruction, labels),
        ("fake", made.fake, fake_labels),
    )
    with frozen(decoder):
        for role, moments, known in shown_again:
            picture = moments.mean.detach()
            encoding = encoder(picture)
            # The label head must not learn to call fakes fake: its outputs are constants in the exponentials.
            shown = encoding if weights.on_fakes == "adversarial" else encoding.without_label_gradient()
            error = reconstruction_error(picture, decoder(coder(shown, role)), variance)
            kl = encoding.latent.kl()
            beside = None
            if weights.on_fakes == "adversarial":
                beside = weights.label_fakes * point_error(
                    known.points, encoding.label, "none", valid=known.valid
                )
            label_error = known.error(encoding.label)
            terms.append(fake_term(error, kl, scale, weights, beside))
            kls.append(kl.mean().detach())
            label_errors.append(label_error)
    loss = real.loss + 0.25 * (terms[0] + terms[1])
    if weights.on_fakes == "cooperative":
        loss = loss + weights.label_fakes * weights.label * 0.5 * (label_errors[0] + label_errors[1])
    return EncoderHalf(
        loss=loss,
        real=real,
        kl_rec=kls[0],
        kl_fake=kls[1],
        exp_elbo_rec=terms[0].detach(),
        exp_elbo_fake=terms[1].detach(),
        label_rec=label_errors[0].detach(),
        label_fake=label_errors[1].detach(),
    )


def decoder_half(
    made: Reconstructions,
    encoder: Encoder,
    image: Float[Tensor, "batch *shape"],
    labels: Labels,
    fake_labels: Labels,
    weights: SoftIntroWeights,
) -> DecoderHalf:
    """Computes L_D with the encoder frozen (where it is a module), gradients passing through it; a step of
    the decoder's optimiser follows.

    Args:
        made: what `make` made, with fakes; the decoder has not moved since.
        encoder: maps pictures to encodings; gets no gradient.
        image: real pictures.
        labels: of them.
        fake_labels: what the fakes were made from.
        weights: weights of the terms.
    """
    assert made.fake is not None
    with frozen(encoder):
        encoding_rec, encoding_fake = encoder(made.reconstruction.mean), encoder(made.fake.mean)
    kl_rec, kl_fake = encoding_rec.latent.kl(), encoding_fake.latent.kl()
    label_rec, label_fake = labels.error(encoding_rec.label), fake_labels.error(encoding_fake.label)
    error = reconstruction_error(image, made.reconstruction, weights.image_variance)
    consistency = 0.5 * weights.label_decoder * (label_rec + label_fake)
    return DecoderHalf(
        loss=decoder_term(error, kl_rec, kl_fake, weights.scale_for(image), weights) + consistency,
        error=error.mean().detach(),
        kl_rec=kl_rec.mean().detach(),
        kl_fake=kl_fake.mean().detach(),
        label_rec=label_rec.detach(),
        label_fake=label_fake.detach(),
    )


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
    beside: Float[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """An exponential of L_E: E exp(−2(S(β_rec r + β_neg KL) + `beside`))."""
    bracket = scale * (
        (weights.rec if weights.rec_fake is None else weights.rec_fake) * error + weights.neg * kl
    )
    return (-2.0 * (bracket if beside is None else bracket + beside)).exp().mean()


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
    """Keeps the parameters of those networks that are modules out of graphs built inside the block; gradients
    still pass through them."""
    modules = [network for network in networks if isinstance(network, nn.Module)]
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
