"""SRV-VAE: the paper's own invariants, and those of our options."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import Hands
from handvae.noise import Noise
from handvae.rv import RandomVariable
from handvae.systems.srv_vae import SrvVae, SrvVaeConfig

PAPER = SrvVaeConfig(
    appearance_dims=4, encoder_widths=(8, 16, 16, 16), decoder_widths=(16, 16, 8, 8, 8), norm="group"
)
"""The paper's choices at a small size."""


def losses_of(system: SrvVae, batch: Hands, step: int = 0):
    return next(system.step(batch, "all", Noise(0, step))).losses


def gradients(system: SrvVae, loss: torch.Tensor, part: torch.nn.Module) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
    return [g for g in found if g is not None and g.abs().max() > 0]


# ----------------------------------------------------------------------------------------------- -- objective


def test_the_objective_is_the_weighted_sum_of_its_terms_by_hand(build, crops):
    config = replace(PAPER, kl_weight=0.3, pose_weight=7.0)
    system, batch = build(config), crops[:6]
    losses = losses_of(system, batch)
    latent = system.encode(batch.image)
    target = system.standardise(system.joints_of(batch))
    picture = system.decode(latent.pose, latent.appearance)
    image = ((2 * batch.image - 1 - picture.mean) ** 2).mean() + 50 * (picture.var**2).mean()
    mean, var = latent.appearance.mean, latent.appearance.var
    rate = 0.5 * (mean**2 + var - 1 - var.log()).sum(1).mean()
    error = ((target - latent.pose.mean.view(6, 21, 2)) ** 2).sum() / (6 * 21)
    pose = error + (latent.pose.var**2).sum() / (6 * 21)
    torch.testing.assert_close(losses.total, image + 0.3 * rate + 7.0 * pose, rtol=1e-4, atol=1e-5)


def test_the_kl_ignores_the_pose(build, crops):
    system = build(PAPER)
    rate = losses_of(system, crops[:4]).rate
    assert gradients(system, rate, system.appearance_head)
    assert not gradients(system, rate, system.pose_head)


def test_without_a_kl_weight_it_is_batch_over_the_size_of_the_set(build, crops):
    free, fixed = build(PAPER), build(replace(PAPER, kl_weight=6 / 48))
    assert losses_of(free, crops[:6]).total.item() == pytest.approx(
        losses_of(fixed, crops[:6]).total.item(), rel=1e-6
    )


def test_the_kl_weight_counts_the_hands_of_all_processes(build, crops):
    system, batch = build(PAPER), crops[:6]
    half = next(system.step(batch, "all", Noise(0, ranks=2))).losses
    assert (half.total - half.image - half.pose).item() == pytest.approx(
        2 * 6 / 48 * half.rate.item(), rel=1e-4
    )


def test_the_likelihoods_deviation_is_of_a_unit_picture_whatever_the_networks_see(build, crops):
    plain = losses_of(build(PAPER), crops[:4])
    nats = losses_of(build(replace(PAPER, likelihood_sigma=0.1)), crops[:4])
    assert nats.image.item() == pytest.approx(plain.image.item() * 3 * 32 * 32 / (2 * 0.2**2), rel=1e-4)


def test_a_likelihood_in_nats_scales_the_squared_error(build, crops):
    plain = losses_of(build(replace(PAPER, image_range="unit")), crops[:4])
    nats = losses_of(build(replace(PAPER, image_range="unit", likelihood_sigma=0.1)), crops[:4])
    assert nats.image.item() == pytest.approx(plain.image.item() * 3 * 32 * 32 / (2 * 0.1**2), rel=1e-4)


def test_joints_without_label_change_nothing(build, crops, tiny_config):
    valid = torch.rand(4, 21, generator=torch.Generator().manual_seed(0)) < 0.7
    batch = replace(crops[:4], joint_valid=valid)
    spoilt = replace(
        batch,
        joints_2d=torch.where(valid[..., None], batch.joints_2d, torch.full_like(batch.joints_2d, 900.0)),
    )
    for config in (tiny_config, PAPER):
        system = build(config)
        assert losses_of(system, batch).total.item() == pytest.approx(
            losses_of(system, spoilt).total.item(), rel=1e-6
        )


@pytest.mark.parametrize("head", ["linear", "heatmap"])
def test_a_stopped_gradient_keeps_the_image_out_of_the_pose_head(head, build, crops):
    config = replace(PAPER, pose_head=head, heatmap_levels=1)
    free, stopped = build(config), build(replace(config, pose_stop_gradient=True))
    assert gradients(free, losses_of(free, crops[:4]).image, free.pose_head)
    losses = losses_of(stopped, crops[:4])
    assert not gradients(stopped, losses.image, stopped.pose_head)
    assert gradients(stopped, losses.pose, stopped.pose_head)


def test_with_exact_poses_the_picture_does_not_depend_on_the_pose_head(build, crops):
    system = build(replace(PAPER, teacher_forcing=1.0, pose_input="vector+maps"))
    before = losses_of(system, crops[:4]).image.item()
    with torch.no_grad():
        system.pose_head.mean.bias += 3.0
    assert losses_of(system, crops[:4]).image.item() == before


# --------------------------------------------------------------------------------------------- random
# variables and samples


def test_sampled_and_random_variable_models_share_their_weights(build):
    rv_model, sampled = build(PAPER), build(replace(PAPER, latent="sample"), seed=9)
    sampled.load_state_dict(rv_model.state_dict())
    pose, appearances = Noise(1).normal(3, 42), Noise(2).normal(3, 4)
    torch.testing.assert_close(
        rv_model.eval().decode(pose, appearances), sampled.eval().decode(pose, appearances), rtol=0, atol=0
    )


def test_a_variance_of_zero_decodes_as_the_plain_network_does(build):
    system = build(PAPER).eval()
    pose, appearances = Noise(1).normal(3, 42), Noise(2).normal(3, 4)
    picture = system.decode(pose, RandomVariable(appearances, torch.zeros_like(appearances)))
    assert isinstance(picture, RandomVariable)
    torch.testing.assert_close(picture.mean, system.decode(pose, appearances), rtol=0, atol=1e-5)
    assert picture.var.max() < 1e-5


def test_the_pixels_variance_has_the_pictures_shape_and_is_never_negative(build, crops):
    system = build(PAPER)
    latent = system.encode(crops.image[:4])
    picture = system.decode(latent.pose, latent.appearance)
    assert picture.var.shape == picture.mean.shape == (4, 3, 32, 32)
    assert picture.var.min() >= 0
    assert picture.var.max() > 0


def test_mirrored_draws_average_the_two_samples_losses(build, crops):
    system = build(replace(PAPER, latent="antithetic2"))
    batch = crops[:4]
    draw = Noise(3).normal(4, 46)
    joints, exact = system.joints_of(batch), torch.zeros(4, 1, dtype=torch.bool)
    valid = batch.joint_valid.float()
    both = system.objective(batch.image, joints, valid, exact, draw, 0.1).image
    system.config = replace(system.config, latent="sample")
    one, other = (system.objective(batch.image, joints, valid, exact, s * draw, 0.1).image for s in (1, -1))
    torch.testing.assert_close(both, (one + other) / 2)


# ----------------------------------------------------------------------------------------------- -------- use


def test_standardised_poses_have_zero_mean_and_unit_deviation(build, crops):
    poses = build().standardise(build().joints_of(crops)).flatten(1)
    assert poses.mean(0).abs().max() < 1e-5
    assert poses.std(unbiased=False).item() == pytest.approx(1.0, rel=1e-4)


def test_joints_and_spread_are_read_in_crop_units(build, crops):
    """The heat maps' own mean and deviation, whatever the poses were standardised by on the way."""
    system = build().eval()
    heat = system.pose_head(system.trunk(crops.image[:5]))
    read = system.predict_uncalibrated(Hands(image=crops.image[:5]))
    torch.testing.assert_close(read.joints.flatten(1), heat.mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(read.spread.flatten(1), heat.std, rtol=1e-4, atol=1e-6)


def test_a_linear_head_is_read_through_the_poses_mean_and_deviation(build, crops):
    system = build(PAPER).eval()
    pose = system.encode(crops.image[:5]).pose
    read = system.predict_uncalibrated(Hands(image=crops.image[:5]))
    torch.testing.assert_close(system.standardise(read.joints).flatten(1), pose.mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(read.spread.flatten(1), pose.std * system.pose_std)


def test_3d_poses_are_bone_units_from_the_wrist(build, crops):
    system = build(replace(PAPER, pose="3d"))
    joints = system.joints_of(crops)
    assert joints[:, 0].abs().max() == 0
    torch.testing.assert_close((joints[:, 10] - joints[:, 9]).norm(dim=-1), torch.ones(len(crops)))
    assert system.predict_uncalibrated(Hands(image=crops.image)).joints.shape == (48, 21, 3)


def test_3d_poses_need_joints_in_space(tiny_spec):
    with pytest.raises(ValueError, match="keypoints_3d"):
        SrvVae(replace(PAPER, pose="3d"), replace(tiny_spec, modalities=("image", "joints_2d")), Crop(32))


@pytest.mark.parametrize("wrong", [{"pose_input": "vector+maps"}, {"pose_head": "heatmap"}])
def test_3d_poses_cannot_be_drawn(wrong):
    with pytest.raises(ValueError, match="pose='2d'"):
        SrvVaeConfig(pose="3d", **wrong)


def test_another_appearance_leaves_the_decoders_pose_as_it_was(build, tiny_config):
    system, seen = build(tiny_config).eval(), []
    system.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    joints = Noise(5).uniform(3, 21, 2, low=-0.7, high=0.7)
    for seed in (1, 2):
        system.synthesize(joints, Noise(seed).normal(3, 4))
    (one, maps), (other, other_maps) = seen
    assert torch.equal(one[:, :42], other[:, :42])
    assert not torch.equal(one[:, 42:], other[:, 42:])
    assert all(torch.equal(a, b) for a, b in zip(maps, other_maps, strict=True))


def test_generated_pictures_lie_in_the_unit_range_whatever_the_networks_see(build):
    for image_range in ("unit", "symmetric"):
        system = build(replace(PAPER, image_range=image_range)).eval()
        pictures = system.synthesize(
            Noise(5).uniform(3, 21, 2, low=-0.7, high=0.7), 30 * Noise(6).normal(3, 4)
        )
        assert pictures.shape == (3, 3, 32, 32)
        assert pictures.min() >= 0
        assert pictures.max() <= 1


@pytest.mark.parametrize("variance", ["dirac", "unit", "posterior"])
def test_each_variance_of_generation_gives_a_picture(variance, build, crops):
    system = build(replace(PAPER, generation_variance=variance)).eval()
    system.summarise([crops])
    pictures = system.synthesize(system.joints_of(crops[:2]), Noise(6).normal(2, 4))
    assert torch.isfinite(pictures).all()


def test_the_kept_moments_are_those_of_the_aggregate_posterior(build, crops):
    system = build().eval()
    summary = system.summarise([crops[:20], crops[20:]])
    with torch.no_grad():
        latent = system.encode(crops.image).appearance
    means, variance = latent.mean.numpy(), latent.var.numpy()
    np.testing.assert_allclose(system.appearance_mean.numpy(), means.mean(0), atol=1e-5)
    np.testing.assert_allclose(
        system.appearance_covariance.numpy(), np.cov(means.T) + np.diag(variance.mean(0)), atol=1e-4
    )
    assert summary["posterior_variance_mean"] == pytest.approx(variance.mean(), rel=1e-4)
    drawn = system.random_appearance(20_000, Noise(0), "aggregate").numpy()
    np.testing.assert_allclose(drawn.mean(0), means.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), system.appearance_covariance.numpy(), atol=0.1)


# ----------------------------------------------------------------------------------------------- --- training


@pytest.mark.parametrize("latent", ["rv", "sample"])
def test_a_tiny_model_overfits_one_batch(latent, build, crops, tiny_config):
    system = build(replace(tiny_config, latent=latent, kl_weight=0.01)).train()
    optimiser = torch.optim.Adam(system.parameters(), 1e-2)
    batch = crops[:8]
    first = losses_of(system, batch).total.item()
    for step in range(80):
        losses = losses_of(system, batch, step)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
    assert losses.total.item() < first / 5


def test_a_crop_that_cannot_be_halved_is_refused_with_a_size_that_can(tiny_spec):
    with pytest.raises(ValueError, match="multiple of 32, such as 64"):
        SrvVae(SrvVaeConfig(), tiny_spec, Crop(72))
