"""Which parameters each half of the introspective step may move (acceptance 10)."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from handvae import rv
from handvae.rv.losses import reconstruction_error
from handvae.systems.soft_intro_objective import (
    Encoding,
    Labels,
    SoftIntroWeights,
    decoder_half,
    encoder_half,
    real_term,
    reconstruct,
)

POINTS, AXES, LATENT, BATCH = 3, 2, 4, 5
WEIGHTS = SoftIntroWeights(neg=4.0)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(16, 20), nn.ReLU())
        self.label_head = nn.Linear(20, 2 * POINTS * AXES)
        self.latent_head = nn.Linear(20, 2 * LATENT)

    def forward(self, image: Tensor) -> Encoding:
        features = self.body(image)
        label, latent = self.label_head(features).chunk(2, 1), self.latent_head(features).chunk(2, 1)
        return Encoding(
            rv.RandomVariable.from_logvar(*label).view(-1, POINTS, AXES),
            rv.RandomVariable.from_logvar(*latent),
        )


@pytest.fixture
def parts():
    torch.manual_seed(0)
    decoder = nn.Sequential(
        nn.Linear(POINTS * AXES + LATENT, 30),
        nn.LeakyReLU(0.2),
        nn.Linear(30, 16),
        nn.Unflatten(1, (1, 4, 4)),
    )
    image, label = torch.rand(BATCH, 1, 4, 4), Labels(torch.randn(BATCH, POINTS, AXES))
    fake_label = Labels(label.points.flip(0))
    fake_code = rv.cat(
        [
            fake_label.points.flatten(1),
            rv.RandomVariable(torch.randn(BATCH, LATENT), torch.ones(BATCH, LATENT)),
        ],
        1,
    )
    return Encoder(), rv.to_rv(decoder), image, label, fake_code, fake_label


def gradients(module: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in module.parameters() if parameter.grad is not None]


def test_encoder_half_leaves_the_decoder_without_gradients(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    decoded = reconstruct(encoder, decoder, image, fake_code)
    encoder_half(decoded, encoder, decoder, image, label, fake_label, WEIGHTS).loss.backward()
    assert gradients(decoder) == []
    assert all(parameter.requires_grad for parameter in decoder.parameters())
    assert all(gradient.abs().sum() > 0 for gradient in gradients(encoder))


def test_decoder_half_leaves_the_encoder_without_gradients(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    decoded = reconstruct(encoder, decoder, image, fake_code)
    encoder_half(decoded, encoder, decoder, image, label, fake_label, WEIGHTS)
    decoder_half(decoded, encoder, image, label, fake_label, WEIGHTS).loss.backward()
    assert gradients(encoder) == []
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert len(gradients(decoder)) == 4


def test_adversarial_terms_give_exactly_no_gradient_to_the_label_head(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts

    def label_gradient(neg: float) -> Tensor:
        encoder.zero_grad()
        decoded, weights = (
            reconstruct(encoder, decoder, image, fake_code),
            dataclasses.replace(WEIGHTS, neg=neg),
        )
        encoder_half(decoded, encoder, decoder, image, label, fake_label, weights).loss.backward()
        return encoder.label_head.weight.grad.clone()

    # At β_neg = 1e6 the exponentials are zero: what is left is the real part.
    assert torch.equal(label_gradient(4.0), label_gradient(1e6))


def test_adversarial_terms_reach_the_latent_head(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    found = []
    for neg in (4.0, 1e6):
        encoder.zero_grad()
        decoded, weights = (
            reconstruct(encoder, decoder, image, fake_code),
            dataclasses.replace(WEIGHTS, neg=neg),
        )
        encoder_half(decoded, encoder, decoder, image, label, fake_label, weights).loss.backward()
        found.append(encoder.latent_head.weight.grad.clone())
    assert not torch.equal(*found)


def test_label_consistency_reaches_the_decoder_and_not_the_encoder(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    found = []
    for weight in (0.0, 10.0):
        decoder.zero_grad()
        weights = dataclasses.replace(WEIGHTS, label_decoder=weight)
        decoder_half(
            reconstruct(encoder, decoder, image, fake_code), encoder, image, label, fake_label, weights
        ).loss.backward()
        found.append(gradients(decoder)[0].clone())
    assert not torch.allclose(*found)
    assert gradients(encoder) == []


def test_the_pictures_of_both_halves_are_decoded_once_and_give_the_gradients_of_decoding_them_twice(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    decodings = []
    decoder.register_forward_hook(lambda *_: decodings.append(torch.is_grad_enabled()))
    decoded = reconstruct(encoder, decoder, image, fake_code)
    encoder_half(decoded, encoder, decoder, image, label, fake_label, WEIGHTS).loss.backward()
    found = [gradient.clone() for gradient in gradients(encoder)]
    half = decoder_half(decoded, encoder, image, label, fake_label, WEIGHTS)
    half.loss.backward()
    assert len(decodings) == 4  # the reconstruction, the fakes, and both again from their encodings

    # The same objective, written without detaching
    encoder.zero_grad()
    encoding = encoder(image)
    weights = dataclasses.replace(WEIGHTS, neg=1e6)  # the exponentials are zero
    error = reconstruction_error(image, decoder(encoding.code()), weights.image_variance).mean()
    (
        real_term(error, encoding.latent.kl().mean(), weights.scale_for(image), weights)
        + label.error(encoding.label, "squared")
    ).backward()
    plain = [gradient.clone() for gradient in gradients(encoder)]
    encoder.zero_grad()
    encoder_half(
        reconstruct(encoder, decoder, image, fake_code), encoder, decoder, image, label, fake_label, weights
    ).loss.backward()
    for ours, theirs in zip(gradients(encoder), plain, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert any(not torch.equal(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize("role", ["rec", "fake"])
def test_wrongly_read_labels_multiply_their_exponential_where_that_is_asked(role, parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    one = (Labels(label.points[:1]), Labels(fake_label.points[:1]))
    decoded = reconstruct(encoder, decoder, image[:1], fake_code[:1])
    found = {}
    for asked in ("none", "adversarial"):
        weights = dataclasses.replace(WEIGHTS, on_fakes=asked, label_fakes=0.05)
        found[asked] = encoder_half(decoded, encoder, decoder, image[:1], *one, weights)
    error = getattr(found["none"], f"label_{role}")
    plain, misread = (getattr(found[asked], f"exp_elbo_{role}") for asked in ("none", "adversarial"))
    torch.testing.assert_close(misread, plain * torch.exp(-2 * 0.05 * error))
    assert misread < plain


def test_rightly_read_labels_get_their_share_of_lambda_where_that_is_asked(parts):
    encoder, decoder, image, label, fake_code, fake_label = parts
    decoded, found = reconstruct(encoder, decoder, image, fake_code), []
    for asked in ("none", "cooperative"):
        weights = dataclasses.replace(WEIGHTS, on_fakes=asked, label=2.0, label_fakes=0.3)
        found.append(encoder_half(decoded, encoder, decoder, image, label, fake_label, weights))
    more = 0.3 * 2.0 * 0.5 * (found[0].label_rec + found[0].label_fake)
    torch.testing.assert_close(found[1].loss - found[0].loss, more)
    assert more > 0.1
