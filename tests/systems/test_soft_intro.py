"""Soft-Intro-SRV-VAE: which half moves what, values by hand, the watch over the game, its start from
SRV-VAE."""

import math
from dataclasses import replace

import pytest
import torch

from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems import soft_intro
from handvae.systems.soft_intro import SoftIntroConfig
from handvae.systems.soft_intro_objective import Labels
from handvae.training.distributed import Ranks
from handvae.training.loop import activate_stage, optimiser_steps
from handvae.training.state import State

PAPER = SoftIntroConfig(
    appearance_dims=4, encoder_widths=(8, 8, 16), decoder_widths=(16, 16, 8, 8), norm="group", beta_neg=16.0
)
"""The paper's choices at a small size."""
OURS = replace(
    PAPER,
    blocks="strided",
    latent="sample",
    pose_input="vector+maps",
    pose_head="heatmap",
    heatmap_levels=1,
    teacher_forcing=1.0,
    pose_stop_gradient=True,
    generation_variance="dirac",
    pose_consistency=0.1,
    likelihood_sigma=0.1,
)


def players(system) -> dict[str, list[torch.nn.Parameter]]:
    return {
        name: [p for module in modules for p in module.parameters()]
        for name, modules in system.groups.items()
    }


def of_phases(system, batch, stage="adversarial", step=0) -> dict[str, soft_intro.Losses]:
    return {phase.group: phase.losses for phase in system.step(batch, stage, Noise(0, step))}


def gradient(loss, module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat(
        [
            torch.zeros(p.numel()) if g is None else g.flatten()
            for g, p in zip(found, module.parameters(), strict=True)
        ]
    )


# -------------------------------------------------------------------------------------------------------- who
# moves whom


@pytest.mark.parametrize("stage", ["warm-up", "adversarial"])
@pytest.mark.parametrize("config", [PAPER, OURS], ids=["paper", "ours"])
def test_each_half_leaves_the_other_player_without_gradients(config, stage, soft, crops):
    """The losses themselves, differentiated towards everything: not only the loop keeps them apart."""
    system = soft(config)
    both = players(system)
    for phase in system.step(crops[:4], stage, Noise(0)):
        system.zero_grad(set_to_none=True)
        phase.losses.total.backward()
        other = "decoder" if phase.group == "encoder" else "encoder"
        assert all(p.grad is None for p in both[other])
        assert sum(p.grad is not None and bool(p.grad.any()) for p in both[phase.group]) == len(
            both[phase.group]
        )
    assert all(p.requires_grad for p in system.parameters())


def test_the_loop_moves_the_encoder_then_the_decoder_and_the_second_half_sees_the_first(
    soft, run, crops, tmp_path
):
    system = soft(OURS)
    activate_stage(system, system.stages[1])
    both, task = players(system), run(system, tmp_path)
    before = {name: [p.detach().clone() for p in group] for name, group in both.items()}
    moved = {name: lambda name=name: not all(map(torch.equal, both[name], before[name])) for name in both}
    untouched = of_phases(soft(OURS).train(), crops[:4])["decoder"]
    steps = optimiser_steps(
        State.fresh(system, task.train),
        system.step(crops[:4], "adversarial", Noise(0)),
        task,
        Ranks(),
        0,
        1e-2,
    )
    assert next(steps)[0].group == "encoder"
    assert (moved["encoder"](), moved["decoder"]()) == (True, False)
    second, _ = next(steps)
    assert second.group == "decoder"
    assert moved["decoder"]()
    assert second.losses.kl_fake.item() != untouched.kl_fake.item()
    torch.testing.assert_close(second.losses.image, untouched.image)  # z was encoded before the encoder moved
    assert next(steps, None) is None


@pytest.mark.parametrize(
    ("on_fakes", "same"), [("none", True), ("adversarial", False), ("cooperative", False)]
)
def test_made_pictures_teach_the_pose_head_only_if_asked_to(on_fakes, same, soft, crops):
    found = []
    for made in (True, False):
        system = soft(replace(PAPER, pose_on_fakes=on_fakes, pose_on_fakes_weight=0.2))
        losses = of_phases(system, crops[:4], "adversarial" if made else "warm-up")["encoder"]
        found.append(gradient(losses.total, system.pose_head))
    assert found[0].any()
    assert torch.equal(*found) == same


def test_made_pictures_teach_the_appearance_head(soft, crops):
    found = []
    for stage in ("adversarial", "warm-up"):
        system = soft(PAPER)
        found.append(gradient(of_phases(system, crops[:4], stage)["encoder"].total, system.appearance_head))
    assert not torch.allclose(*found)


def test_pose_consistency_reaches_the_decoder_and_not_the_encoder(soft, crops):
    found = {}
    for weight in (0.0, 10.0):
        system = soft(replace(PAPER, pose_consistency=weight))
        losses = of_phases(system, crops[:4])
        found[weight] = (
            gradient(losses["encoder"].total, system.trunk),
            gradient(losses["decoder"].total, system.decoder),
        )
        expected = 0.5 * weight * (losses["decoder"].pose_rec + losses["decoder"].pose_fake)
        without = losses["decoder"].total - expected
        found[weight] += (without.item(),)
    assert torch.equal(found[0.0][0], found[10.0][0])
    assert not torch.allclose(found[0.0][1], found[10.0][1])
    assert found[10.0][2] == pytest.approx(found[0.0][2], rel=1e-5)


def test_with_exact_poses_no_picture_depends_on_what_the_pose_head_reads(soft, crops):
    system = soft(replace(OURS, pose_head="linear"))
    before = of_phases(system, crops[:4])["encoder"]
    with torch.no_grad():
        system.pose_head.mean.bias += 3.0
    after = of_phases(system, crops[:4])["encoder"]
    assert (before.image, before.exp_elbo_rec, before.exp_elbo_fake) == (
        after.image,
        after.exp_elbo_rec,
        after.exp_elbo_fake,
    )
    assert before.pose != after.pose


# --------------------------------------------------------------------------------------------- values by hand


@pytest.mark.parametrize("variance", ["squared", "expected"])
def test_both_objectives_are_the_sums_of_their_terms_by_hand(variance, soft, crops):
    config = replace(
        PAPER,
        beta_kl=0.7,
        pose_weight=3.0,
        pose_consistency=0.2,
        image_variance=variance,
        generation_variance="dirac",
    )
    system, batch, scale = soft(config), crops[:5], 1 / (3 * 32 * 32)
    losses = of_phases(system, batch)
    labels = Labels(system.standardise(system.joints_of(batch)), system.labelled(batch))
    noise = Noise(0)
    noise.uniform(5, 1)
    noise.normal(5, 3, 46)
    fakes = system._fakes(labels, noise)
    with torch.no_grad():
        real = system.encode(batch.image)

    def code(read):
        return read.pose, read.appearance

    def error(x, picture, inside=False):
        squares = ((x - picture.mean) ** 2).flatten(1).sum(1)
        if variance == "expected":
            return squares if inside else squares + picture.var.flatten(1).sum(1)
        return squares + 50 * (picture.var**2).flatten(1).mean(1)

    def kl(variable):
        return 0.5 * (variable.mean**2 + variable.var - 1 - variable.var.log()).sum(1)

    def misread(read, points):
        return ((read.pose.mean.view_as(points) - points) ** 2).sum(2).mean()

    with torch.no_grad():
        rec = system.decode(*code(real))
        fake = system.decode(fakes.code.mean[:, :42], fakes.code.mean[:, 42:])
        seen_rec, seen_fake = system.encode(rec.mean), system.encode(fake)
        again = [
            error(y, system.decode(*code(read)), inside=True)
            for y, read in ((rec.mean, seen_rec), (fake, seen_fake))
        ]
        pose = ((real.pose.mean - labels.points.flatten(1)) ** 2 + real.pose.var**2).sum(1).mean() / 21
        kls = [kl(seen_rec.appearance), kl(seen_fake.appearance)]
        real_terms = scale * (0.5 * error(batch.image, rec) + 0.7 * kl(real.appearance)).mean() + 3.0 * pose
        exponentials = [
            torch.exp(-2 * scale * (0.5 * r + 16.0 * k)).mean() for r, k in zip(again, kls, strict=True)
        ]
        half = scale * (0.5 * error(batch.image, rec) + 0.35 * (kls[0] + kls[1])).mean()
        half = half + 0.1 * (misread(seen_rec, labels.points) + misread(seen_fake, fakes.labels.points))
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(losses["encoder"].total, real_terms + 0.25 * sum(exponentials), **close)
    torch.testing.assert_close(losses["decoder"].total, half, **close)
    torch.testing.assert_close(losses["encoder"].exp_elbo_fake, exponentials[1], **close)
    assert 0 < exponentials[1] < 1


def test_a_likelihood_in_nats_and_a_scale_multiply_as_they_say(soft, crops):
    plain = of_phases(soft(replace(PAPER, pose_weight=0.0)), crops[:4], "warm-up")["decoder"].total.item()
    nats = of_phases(soft(replace(PAPER, likelihood_sigma=0.1)), crops[:4], "warm-up")["decoder"].total.item()
    large = of_phases(soft(replace(PAPER, scale=0.5)), crops[:4], "warm-up")["decoder"].total.item()
    assert nats == pytest.approx(plain / (2 * 0.1**2), rel=1e-4)
    assert large == pytest.approx(plain * 0.5 * 3 * 32 * 32, rel=1e-4)


# ----------------------------------------------------------------------------------------------- ------ fakes


def test_fakes_have_the_batchs_poses_in_another_order_and_no_pose_variance(soft, crops):
    system = soft(replace(PAPER, generation_variance="unit"))
    valid = torch.ones(8, 21, dtype=torch.bool)
    valid[2, 5] = False
    labels = Labels(system.standardise(system.joints_of(crops[:8])), valid)
    fakes = system._fakes(labels, Noise(3))
    poses, known = fakes.code.mean[:, :42].view(8, 21, 2), fakes.labels.valid
    order = [next(i for i in range(8) if torch.equal(pose[0], labels.points[i, 0])) for pose in poses]
    assert sorted(order) == list(range(8)) != order
    assert torch.equal(known, valid[order])
    assert torch.equal(poses, labels.points[order] * valid[order][..., None])
    assert not fakes.code.var[:, :42].any()
    assert bool((fakes.code.var[:, 42:] == 1).all())


def test_jitter_moves_the_poses_of_fakes_and_their_labels_alike(soft, crops):
    system = soft(replace(PAPER, pose_jitter=0.1))
    labels = Labels(system.standardise(system.joints_of(crops)), torch.ones(48, 21, dtype=torch.bool))
    fakes, still = system._fakes(labels, Noise(3)), soft(PAPER)._fakes(labels, Noise(3))
    assert torch.equal(fakes.code.mean[:, :42].view(48, 21, 2), fakes.labels.points)
    assert (fakes.labels.points - still.labels.points).std().item() == pytest.approx(0.1, rel=0.1)


def test_with_the_posteriors_variance_generated_appearances_are_n01_in_total(soft):
    system = soft(replace(PAPER, generation_variance="posterior"))
    system.posterior_variance.copy_(torch.tensor([0.0, 0.2, 0.5, 0.9]))
    drawn = system.random_appearance(40_000, Noise(0))
    given = system.with_generation_variance(drawn)
    assert isinstance(given, RandomVariable)
    torch.testing.assert_close(drawn.var(0) + given.var[0], torch.ones(4), rtol=0, atol=0.03)


def test_the_posteriors_variance_is_followed_in_training(soft, crops):
    system = soft(PAPER)
    with torch.no_grad():
        posterior = system.encode(crops[:4].image).appearance.var.mean(0)
    for _ in system.step(crops[:4], "warm-up", Noise(0)):
        pass
    torch.testing.assert_close(system.posterior_variance, 0.01 * posterior.clamp(0, 1))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"warm_up": 1.5}, "warm_up"),
        ({"beta_neg": 0.0}, "beta_neg"),
        ({"scale": -1.0}, "scale"),
        ({"pose_jitter": math.nan}, "pose_jitter"),
        ({"to_rgb": "transposed"}, "residual blocks"),
    ],
)
def test_values_that_make_no_sense_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        SoftIntroConfig(**wrong)
