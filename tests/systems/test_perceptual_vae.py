"""Perceptual S-VAE: what the critic measures, whom it teaches, and that it is no part of the model."""

from dataclasses import fields, replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.nets.blocks import resized
from handvae.noise import Noise
from handvae.systems.detector import Detector, DetectorConfig
from handvae.systems.perceptual_vae import PerceptualVae, PerceptualVaeConfig, feature_distance, window
from handvae.systems.pose_appearance import PoseAppearanceConfig
from handvae.training.checkpoint import load_model, save_model

CRITIC = DetectorConfig(widths=(8, 16, 16, 16), norm="group")


@pytest.fixture
def critic(tiny_spec):
    """Builds a critic for images of some size."""

    def make(size_px: int = 32, config: DetectorConfig = CRITIC) -> Detector:
        torch.manual_seed(5)
        return Detector(config, tiny_spec, Crop(size_px))

    return make


@pytest.fixture
def build_vae(tiny_config, tiny_spec, crops, critic):
    """Builds a perceptual S-VAE with seeded weights, prepared on the drawn hands."""

    def make(size_px: int | None = 32, **changes) -> PerceptualVae:
        torch.manual_seed(0)
        networks = {field.name: getattr(tiny_config, field.name) for field in fields(PoseAppearanceConfig)}
        system = PerceptualVae(
            PerceptualVaeConfig(**(networks | {"latent": "sample"} | changes)), tiny_spec, Crop(32)
        )
        system.prepare(crops)
        if size_px is not None:
            system.attach("critic", critic(size_px))
        return system

    return make


def losses_of(system, batch, seed=0):
    return next(system.step(batch, "all", Noise(seed))).losses


def taught(system, loss):
    """Names of the parts that a loss reaches."""
    system.zero_grad()
    loss.backward()
    return {
        name.split(".")[0]
        for name, p in system.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    }


def test_the_total_is_the_weighted_sum_of_its_parts(build_vae, crops):
    system = build_vae(feature_weight=3.0, consistency_weight=5.0, kl_weight=7.0, pose_weight=11.0)
    found = losses_of(system, crops)
    expected = found.image + 7 * found.rate + 11 * found.pose + 3 * found.feature + 5 * found.consistency
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.feature > 0
    assert found.consistency > 0


def test_features_differ_in_deviations_of_the_real_ones():
    real = torch.zeros(2, 2, 1, 2)
    real[:, 0, 0] = torch.tensor([-1.0, 1.0])
    real[:, 1, 0] = torch.tensor([-10.0, 10.0])
    made = real + torch.tensor([1.0, 10.0])[:, None, None]
    deviation = float(real[:, 0].std())
    assert feature_distance([real], [made]).item() == pytest.approx(1 / deviation, rel=2e-3)
    assert feature_distance([real, real], [made, made]).item() == pytest.approx(2 / deviation, rel=2e-3)
    assert feature_distance([real], [real]) == 0


def test_the_reading_teaches_the_decoder_and_neither_the_critic_nor_the_pose_head(build_vae, crops):
    system = build_vae(prior_share=1.0)
    reached = taught(system, losses_of(system, crops).consistency)
    assert reached == {"decoder"}
    assert all(p.grad is None for p in system.critic[0].parameters())


def test_another_persons_appearance_teaches_the_encoder_how_to_say_it(build_vae, crops):
    system = build_vae(prior_share=0.0)
    assert taught(system, losses_of(system, crops).consistency) == {"decoder", "trunk", "appearance_head"}


def test_the_reading_is_that_of_the_pose_asked_for(build_vae, crops):
    """A critic that always finds the same joints: the consistency is their mean distance from the labels."""
    system = build_vae()

    class Stubborn:
        crop = Crop(32)

        def to(self, _):
            return self

        def maps(self, image):
            return [image]

        def read(self, image):
            return type("Read", (), {"mean": torch.zeros(len(image), 21, 2)})()

    system.critic = (Stubborn(),)
    joints = system.joints_of(crops)
    valid = system.labelled(crops)
    expected = (joints.abs() * valid[..., None]).sum() / (2 * valid.sum())
    assert losses_of(system, crops).consistency.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("size_px", [16, 64])
def test_a_critic_of_another_size_sees_resized_pictures(size_px, build_vae, crops):
    found = losses_of(build_vae(size_px), crops)
    assert torch.isfinite(found.total)
    assert found.consistency > 0


def test_a_large_picture_is_judged_whole_and_through_a_window(build_vae, crops):
    """A change that making the picture small averages away is felt through the window alone."""
    system = build_vae(16)
    image = crops.require("image")
    (critic,) = system.critic
    chequers = 0.2 * (-1.0) ** torch.arange(32)
    changed = image + chequers[:, None] * chequers[None, :]
    corner = torch.tensor([3, 9])
    torch.testing.assert_close(window(image, corner, 16), image[:, :, 3:19, 9:25])
    seen, missed = (
        feature_distance(critic.maps(view(image)), critic.maps(view(changed)))
        for view in (lambda picture: window(picture, corner, 16), lambda picture: resized(picture, 16))
    )
    assert seen > 10 * missed
    small, large = losses_of(build_vae(32), crops), losses_of(system, crops)
    assert small.feature > 0
    system.critic = (Still(critic),)
    assert losses_of(system, crops).feature == 0
    assert system.critic[0].seen == [16] * 4
    assert large.feature > 0


class Still:
    """A critic for whom all pictures are alike; remembers the sizes whose features it was asked for."""

    def __init__(self, critic: Detector) -> None:
        self.crop, self.read, self.seen = critic.crop, critic.read, []

    def to(self, _):
        return self

    def maps(self, image):
        self.seen.append(image.shape[-1])
        return [torch.zeros_like(image)]


def test_a_model_file_holds_no_critic_and_needs_none(build_vae, crops, tmp_path):
    system = build_vae().eval()
    assert not any("critic" in name for name in system.state_dict())
    save_model(tmp_path / "m.safetensors", system, steps=1, preset="photos-64")
    loaded = load_model(tmp_path / "m.safetensors").generator
    joints, appearance = system.joints_of(crops), torch.zeros(len(crops), system.config.appearance_dims)
    torch.testing.assert_close(loaded.synthesize(joints, appearance), system.synthesize(joints, appearance))


def test_training_without_a_critic_says_so(build_vae, crops):
    with pytest.raises(ValueError, match="critic that is named"):
        losses_of(build_vae(None), crops)


def test_what_is_no_critic_is_refused(build_vae, build, critic, tiny_spec):
    system = build_vae(None)
    with pytest.raises(ValueError, match="detector"):
        system.attach("critic", build())
    with pytest.raises(ValueError, match="joints"):
        system.attach("critic", Detector(CRITIC, replace(tiny_spec, joints=14), Crop(32)))


@pytest.mark.parametrize("changes", [{"latent": "rv"}, {"likelihood_sigma": 0.0}, {"prior_share": 1.5}])
def test_impossible_choices_are_refused(changes, build_vae):
    with pytest.raises(ValueError):
        build_vae(**changes)


def test_a_critic_that_makes_pictures_is_refused_by_the_command(
    refused, tiny_set, tiny_model, tiny_flags, tmp_path
):
    words = [
        "--data.root",
        tiny_set,
        "--out",
        tmp_path / "run",
        *tiny_flags,
        "--train.steps",
        "1",
        "--system.critic",
        tiny_model,
    ]
    line = refused("train", "photos-64", *words)
    assert "detector" in line
    assert not (tmp_path / "run").exists()


def test_a_run_takes_its_critic_by_name_and_a_fine_tuning_starts_from_a_plain_model(
    handvae, tiny_set, tiny_flags, tmp_path
):
    words = ["--data.root", tiny_set, *tiny_flags, "--train.steps", "2"]
    assert handvae("train", "photos-base-64", *words, "--out", tmp_path / "base")[0] == 0
    assert (
        handvae("train", "photos-64", *words, "--out", tmp_path / "further", "--init", tmp_path / "base")[0]
        == 0
    )
    assert load_model(tmp_path / "further").header.system == "perceptual_vae"
