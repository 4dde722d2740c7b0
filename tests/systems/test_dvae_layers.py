"""dVAE with hand and ground apart: what reaches which part of z, what is asked of each, how one is
exchanged."""

from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.hand import SEGMENTATION_CLASSES
from handvae.noise import Noise
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_image import DvaeImage
from handvae.systems.dvae_layers import DvaeLayers

SIZE = 6
CONFIG = DvaeImageConfig(
    content="layers",
    factor_dims=SIZE,
    trunk_width=8,
    hidden=32,
    decoder_width=16,
    norm="group",
    posterior_samples=4,
    factor_weight=0.5,
)
POSE, HAND, GROUND = (slice(SIZE * n, SIZE * (n + 1)) for n in range(3))
close = torch.testing.assert_close


@pytest.fixture
def system(drawn):
    torch.manual_seed(0)
    return DvaeLayers(CONFIG, drawn(16).spec, Crop(32)).eval()


@pytest.fixture
def z():
    return torch.randn(16, 3 * SIZE, generator=torch.Generator().manual_seed(1))


def repainted(seen, where):
    """The same hands, their tag pictures with other colours at some pixels."""
    return replace(seen, tag=torch.where(where, 1 - seen.tag, seen.tag))


# ---------------------------------------------------------------------------------- what reaches which part


@pytest.mark.parametrize(("changed", "moves"), [("hand", [True, False]), ("ground", [False, True])])
def test_the_encoder_of_a_part_sees_no_pixel_of_the_other(changed, moves, system, seen):
    hand = seen.tag_segmentation > 0
    other = repainted(seen, hand if changed == "hand" else ~hand)
    moved = []
    for number, encode in enumerate((system.hand_encoder, system.ground_encoder)):
        first, second = (encode(system.layer_views(hands)[number].image).mean for hands in (seen, other))
        moved.append(not torch.equal(first, second))
    assert moved == moves


def test_the_forearm_goes_with_the_hand(system, seen):
    arm = torch.full_like(seen.tag_segmentation, SEGMENTATION_CLASSES.index("forearm"))
    hand, ground = system.layer_views(replace(seen, tag_segmentation=arm))
    close(hand.image, seen.tag - 0.5)
    assert ground.image.abs().max() == 0


@pytest.mark.parametrize("part", [HAND, GROUND], ids=["hand", "ground"])
def test_neither_part_reaches_the_decoded_pose(part, system, z):
    other = z.clone()
    other[:, part] = z[:, part].flip(0)
    first, second = (system.decode_pose(code) for code in (z, other))
    assert torch.equal(first, second)
    assert not torch.equal(system.image_of(z), system.image_of(other))


@pytest.mark.parametrize(("level", "unseen"), [(60.0, GROUND), (-60.0, HAND)], ids=["covered", "bare"])
def test_each_layer_hides_the_other_part(level, unseen, system, z):
    """Of the ground nothing shows where the hand covers it, nor of the hand where it does not."""
    last = [layer for layer in system.image_decoder.modules() if isinstance(layer, torch.nn.ConvTranspose2d)][
        -1
    ]
    with torch.no_grad():
        last.weight[:, 3], last.bias[3] = 0.0, level
    other = z.clone()
    other[:, unseen] = z[:, unseen].flip(0)
    close(system.image_of(z), system.image_of(other), rtol=0, atol=1e-6)
    other[:, HAND if unseen == GROUND else GROUND] += 1
    assert (system.image_of(z) - system.image_of(other)).abs().max() > 1e-3


def test_the_trunk_of_the_content_does_not_see_the_poses_error(system, seen):
    posterior = system.image_encoder(seen.image - 0.5)
    system.decode_pose(posterior.mean).square().sum().backward()
    of_pose, of_appearance = system.image_encoder.encoders
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in of_appearance.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in of_pose.parameters())


@pytest.mark.parametrize(
    ("weight", "content_learns"), [(0.0, False), (0.5, True)], ids=["picture", "own decoders"]
)
def test_embedded_content_learns_from_its_decoders_alone(weight, content_learns, system, seen):
    system.config = replace(CONFIG, factor_weight=weight, beta=0.0)
    (phase,) = system.step(seen, "embed", Noise(0))
    phase.losses.total.backward()
    learn = [
        any(p.grad is not None and p.grad.abs().max() > 0 for p in trunk.parameters())
        for trunk in system.image_encoder.encoders
    ]
    assert learn == [True, content_learns]


@pytest.mark.parametrize(("part", "own"), [(0, HAND), (1, GROUND)], ids=["hand", "ground"])
def test_the_error_of_a_part_reaches_its_own_nets_and_its_own_code(part, own, system, seen, z):
    z.requires_grad_()
    decoder = (system.hand_decoder, system.ground_decoder)[part]
    inside = system.layer_views(seen)[part].inside
    ((decoder(z[:, own]) * inside).square().sum()).backward()
    elsewhere = z.grad.clone()
    elsewhere[:, own] = 0
    assert z.grad[:, own].abs().min() > 0
    assert elsewhere.abs().max() == 0
    reached = {name.split(".")[0] for name, p in system.named_parameters() if p.grad is not None}
    assert reached == {("hand", "ground")[part] + "_decoder"}


def test_disentangling_reaches_both_parts_and_embedding_neither(system, seen):
    for stage, reached in (("disentangle", True), ("embed", False)):
        system.zero_grad()
        (phase,) = system.step(seen, stage, Noise(0))
        weights = [p for module in system.groups[phase.group] for p in module.parameters()]
        torch.autograd.backward(phase.losses.total, inputs=weights)
        layers = (system.hand_encoder, system.ground_encoder, system.hand_decoder, system.ground_decoder)
        for module in layers:
            grads = [p.grad for p in module.parameters()]
            assert all(
                (grad is not None and grad.abs().max() > 0) if reached else grad is None for grad in grads
            )


# ---------------------------------------------------------------------------------------------- what is asked


def test_the_objective_by_hand(system, seen, z):
    posterior = system.image_encoder(seen.image - 0.5)
    found = system.objective(seen, posterior, z, 2.0)
    hand = (seen.tag_segmentation > 0).float()
    decoded = [
        0.5 * torch.tanh(net(z[:, part])) + 0.5
        for net, part in ((system.hand_decoder, HAND), (system.ground_decoder, GROUND))
    ]
    y2 = sum(
        (((picture - seen.tag) * where).square().sum((1, 2, 3))).mean()
        for picture, where in zip(decoded, (hand, 1 - hand), strict=True)
    )
    close(found.y2, y2, rtol=1e-4, atol=0)
    front = system.image_decoder(z[:, : 2 * SIZE])
    cover, true = front[:, 3].sigmoid(), (seen.segmentation[:, 0] > 0).float()
    covered = -(true * cover.log() + (1 - true) * (1 - cover).log()).sum((1, 2)).mean()
    picture = cover[:, None] * (0.5 * torch.tanh(front[:, :3]) + 0.5) + (1 - cover[:, None]) * decoded[1]
    close(found.x, (picture - seen.image).square().sum((1, 2, 3)).mean(), rtol=1e-4, atol=0)
    close(found.cover, covered, rtol=1e-4, atol=0)
    close(
        found.total, found.x + covered + 0.5 * (found.y1 + y2) + 2 * posterior.kl().mean(), rtol=1e-4, atol=0
    )


def test_a_parts_picture_is_asked_for_nothing_where_it_is_blanked(system, seen, z):
    """Else z would have to hold the outline of the tag's hand, which is no part of its appearance."""
    nobody = replace(seen, tag_segmentation=torch.zeros_like(seen.tag_segmentation))
    other = z.clone()
    other[:, HAND] = z[:, HAND].flip(0)
    first, second = (
        system.objective(nobody, system.image_encoder(seen.image - 0.5), code, 0.0).y2 for code in (z, other)
    )
    assert first == second
    assert first > 0


# ------------------------------------------------------------------------------------------------------- use


def test_a_photos_hand_and_ground_are_the_embeddings(system, seen):
    appearance = system.appearance_of(seen.image)
    assert torch.equal(appearance, system.image_encoder(seen.image - 0.5).mean[:, SIZE:])
    assert appearance.shape == (16, 2 * SIZE)


def test_one_part_is_exchanged_and_the_other_stays(system, seen):
    own = system.appearance_of(seen.image)
    other = own.flip(0)
    hand, ground = system.exchanged(own, "hand", other), system.exchanged(own, "ground", other)
    assert torch.equal(hand, torch.cat([other[:, :SIZE], own[:, SIZE:]], 1))
    assert torch.equal(ground, torch.cat([own[:, :SIZE], other[:, SIZE:]], 1))
    assert torch.equal(system.exchanged(own, "ground", own[:1])[:, SIZE:], own[:1, SIZE:].expand(16, -1))


@pytest.mark.parametrize("content", ["tag", "residual"])
def test_a_content_in_one_piece_has_no_ground_to_exchange(content, drawn):
    whole = DvaeImage(replace(CONFIG, content=content), drawn(16).spec, Crop(32))
    with pytest.raises(ValueError, match="no ground by itself"):
        whole.exchanged(torch.zeros(1, SIZE), "ground", torch.zeros(1, SIZE))


def test_random_contents_have_the_moments_of_the_training_pictures(system, seen):
    system.summarise([seen[:8], seen[8:]])
    posterior = system.image_encoder(seen.image - 0.5)[:, SIZE:]
    drawn = system.random_appearance(20000, Noise(0), "aggregate")
    assert drawn.shape == (20000, 2 * SIZE)
    close(drawn.mean(0), posterior.mean.mean(0), rtol=0, atol=0.05)
    close(
        torch.cov(drawn.T),
        torch.cov(posterior.mean.T) + torch.diag(posterior.var.mean(0)),
        rtol=0.05,
        atol=0.05,
    )


def test_the_sheet_has_a_row_for_each_exchange(system, seen):
    sheet = system.sample_sheet(seen[:4], Noise(0))
    assert sheet.shape == (3, 7 * 32, 4 * 32)
    assert len(system.sheet_rows.split(", ")) == 7
    rows = sheet.unflatten(1, (7, 32))
    assert not torch.equal(rows[:, 5], rows[:, 6])
