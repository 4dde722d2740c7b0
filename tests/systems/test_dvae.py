"""dVAE: what each step may move, what a factor may say, whose noise it is, what semi- and weak supervision
use."""

from dataclasses import replace

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.hands import Hands
from handvae.geometry import from_canonical
from handvae.hand import root, scale_bone
from handvae.noise import Noise, derangement
from handvae.rv import RandomVariable
from handvae.systems.build import build_system
from handvae.systems.dvae import joint_posterior
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_image import DvaeImage
from handvae.systems.dvae_layers import DvaeLayers
from handvae.systems.dvae_pose import DvaePose, DvaePoseConfig
from handvae.training.checkpoint import load_model
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.loop import activate_stage, fit, optimiser_steps
from handvae.training.run_folder import Run
from handvae.training.state import State

SIZES = {"factor_dims": 6, "trunk_width": 8, "hidden": 32, "posterior_samples": 4}
TAG = DvaeImageConfig(decoder_width=16, **SIZES)
RESIDUAL = replace(TAG, content="residual")
LAYERS = replace(TAG, content="layers")
POSE = DvaePoseConfig(**SIZES)
SHORT = Train(
    steps=4,
    batch=8,
    precision="float32",
    compile=False,
    channels_last=False,
    workers=1,
    log_every=1,
    save_every=100,
)
close = torch.testing.assert_close


@pytest.fixture
def build(drawn):
    """Builds a system with seeded weights for the drawn hands."""

    def make(config):
        torch.manual_seed(0)
        return build_system(config, drawn(16).spec, Crop(32))

    return make


def losses(system, hands, stage, seed=0):
    activate_stage(system, next(s for s in system.stages if s.name == stage))
    return [phase.losses for phase in system.step(hands, stage, Noise(seed))]


# ---------------------------------------------------------------------------------------------- the two steps


@pytest.mark.parametrize("config", [TAG, RESIDUAL, LAYERS, POSE], ids=["tag", "residual", "layers", "pose"])
@pytest.mark.parametrize("stage", [0, 1], ids=["disentangle", "embed"])
def test_each_step_leaves_the_other_steps_networks_bit_identical(config, stage, build, drawn, seen, tmp_path):
    system = build(config)
    state, stage = State.fresh(system, SHORT), system.stages[stage]
    activate_stage(system, stage)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    run = Run(system, drawn(16), Augment(), SHORT, tmp_path)
    for n in range(2):
        assert list(optimiser_steps(state, system.step(seen, stage.name, Noise(0, n)), run, Ranks(), n, 1e-3))
    changed = {name for name, value in system.state_dict().items() if not torch.equal(value, before[name])}
    of_image = {name for name in before if name.startswith("image_encoder.")}
    if stage.name == "embed":
        assert changed == of_image, "decoders and their statistics stand still"
    else:
        kept = {"appearance_mean", "appearance_covariance"}
        assert changed == set(before) - of_image - kept


@pytest.mark.parametrize("config", [TAG, RESIDUAL, LAYERS, POSE], ids=["tag", "residual", "layers", "pose"])
def test_a_model_comes_back_from_a_run_of_both_stages(config, drawn, tmp_path):
    torch.manual_seed(0)
    crop = Crop(32, sides="left")
    data = drawn(16)
    system = build_system(config, replace(data.spec, sides="left"), crop)
    path = fit(Run(system, data, Augment(), SHORT, tmp_path / "run"), Ranks())
    image = cut(data, torch.arange(4), crop).require("image")
    model = load_model(path)
    close(
        model.pose_estimator.predict_uncalibrated(Hands(image=image)).joints,
        system.predict_uncalibrated(Hands(image=image)).joints,
        rtol=1e-3,
        atol=1e-4,
    )
    assert '"embed"' in (tmp_path / "run" / "metrics.jsonl").read_text()


# ------------------------------------------------------------------------------------------ picture synthesis


@pytest.mark.parametrize(
    ("config", "of_content"),
    [
        (TAG, {"content_encoder", "content_decoder"}),
        (RESIDUAL, {"content_encoder"}),
        (LAYERS, {"hand_encoder", "hand_decoder", "ground_encoder", "ground_decoder"}),
    ],
    ids=["tag", "residual", "layers"],
)
def test_models_of_each_content_keep_the_names_of_their_weights(config, of_content, build):
    """A model that was written earlier is read by these."""
    common = {
        "pose_encoder",
        "pose_decoder",
        "image_encoder",
        "image_decoder",
        "appearance_mean",
        "appearance_covariance",
    }
    assert {name.split(".")[0] for name in build(config).state_dict()} == common | of_content


def test_the_objective_by_hand(build, seen):
    system = build(replace(TAG, norm="group", x_weight=0.7, factor_weight=0.03, beta=50.0)).eval()
    z = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))
    posterior = system.image_encoder(seen.image - 0.5)
    found = system.objective(seen, posterior, z, system.beta)
    bone = scale_bone(seen.joints_3d)
    picture, tag = (
        0.5 * torch.tanh(system.image_decoder(z)) + 0.5,
        0.5 * torch.tanh(system.content_decoder(z[:, 6:])) + 0.5,
    )
    x = (picture - seen.image).square().sum((1, 2, 3)).mean()
    y1 = (
        ((system.pose_decoder(z[:, :6]) - system.joints_of(seen)) * bone[:, None, None])
        .square()
        .sum((1, 2))
        .mean()
    )
    y2 = (tag - seen.tag).square().sum((1, 2, 3)).mean()
    total = 0.7 * x + 0.03 * (y1 + y2) + 50 * (32 / 256) ** 2 * posterior.kl().mean()
    close(found.total, total, rtol=1e-4, atol=0)
    close(found.y1, y1, rtol=1e-4, atol=0)


def test_another_content_leaves_the_decoded_pose_in_algorithm_1_and_not_in_2(build):
    z = torch.randn(4, 12)
    swapped = torch.cat([z[:, :6], z[:, 6:].flip(0)], 1)
    for config, same in ((TAG, True), (RESIDUAL, False)):
        system = build(config).eval()
        first, second = (system.decode_pose(code) for code in (z, swapped))
        assert torch.equal(first, second) == same


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_noise_is_never_from_the_own_sample(count):
    seen_pairs = set()
    for seed in range(60):
        others = derangement(count, Noise(seed))
        assert sorted(others.tolist()) == list(range(count))
        assert (others != torch.arange(count)).all()
        seen_pairs |= set(enumerate(others.tolist()))
    assert len(seen_pairs) == count * (count - 1), "every other sample is met"


def test_the_noise_pass_moves_the_pose_nets_alone(build, seen):
    system = build(replace(RESIDUAL, noise_passes=2))
    activate_stage(system, system.stages[0])
    phases = list(system.step(seen, "disentangle", Noise(0)))
    assert [phase.name for phase in phases] == ["", "noise", "noise"]
    phases[1].losses.total.backward()
    reached = {name.split(".")[0] for name, p in system.named_parameters() if p.grad is not None}
    assert reached == {"pose_encoder", "pose_decoder"}


def test_the_noise_pass_decodes_each_pose_beside_another_hands_content(build, seen):
    system, met = build(RESIDUAL).eval(), []
    system.pose_decoder.register_forward_pre_hook(lambda module, given: met.append(given[0]))
    means = 5 * torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    found = system.noise_objective(seen, RandomVariable(means, torch.zeros(16, 6)), Noise(4))
    away = torch.cdist(met[0][:, 6:], means)
    assert (away.argmin(1) != torch.arange(16)).all()
    assert away.amin(1).max() < 1e-3
    error = (system.pose_decoder(met[0]) - system.joints_of(seen)) * scale_bone(seen.joints_3d)[:, None, None]
    close(found.total, 0.01 * error.square().sum((1, 2)).mean())
    wide = RandomVariable(means, torch.full((16, 6), 4.0))
    system.noise_objective(seen, wide, Noise(4))
    assert (met[-1] - met[0])[:, 6:].std().item() == pytest.approx(2.0, rel=0.3), "a sample of that posterior"


def test_beta_follows_the_pictures_size_and_rises_from_nothing(build, drawn, seen):
    spec = drawn(16).spec
    assert [DvaeImage(TAG, spec, Crop(size)).beta for size in (32, 64)] == [100 / 64, 6.25]
    system = build(replace(TAG, beta_warmup_steps=10))
    for step, share in ((0, 0.1), (4, 0.5), (20, 1.0)):
        (found,) = [phase.losses for phase in system.step(seen, "disentangle", Noise(0, step))]
        rest = found.total - found.x - 0.01 * (found.y1 + found.y2)
        assert (rest / found.rate / system.beta).item() == pytest.approx(share, rel=1e-2)


def test_a_picture_is_made_of_a_pose_and_a_content(build, seen):
    system = build(TAG).eval()
    joints, content = system.joints_of(seen), system.appearance_of(seen.image)
    made = system.synthesize(joints, content)
    assert made.shape == seen.image.shape
    assert 0 <= made.min() <= made.max() <= 1
    assert not torch.equal(made, system.synthesize(joints.flip(0), content))
    assert not torch.equal(made, system.synthesize(joints, content.flip(0)))
    close(system.synthesize(joints[3:4], content[3:4]), made[3:4], rtol=1e-4, atol=1e-5)
    assert system.random_appearance(5, Noise(0), "aggregate").shape == (5, 6)


# -------------------------------------------------------------------------------------------- pose estimation


@pytest.mark.parametrize("kind", ["palm", "wrist"])
def test_rotation_canonical_pose_bone_and_root_give_the_3d_pose(kind, build, seen):
    system = build(replace(POSE, root=kind))
    whole, target = system.targets(seen)
    assert whole.all()
    close(from_canonical(target, seen.side), seen.joints_3d, rtol=0, atol=1e-2)
    joints = (
        system.joints_of(seen) * scale_bone(seen.joints_3d)[:, None, None]
        + root(seen.joints_3d, kind)[:, None]
    )
    close(joints, seen.joints_3d, rtol=0, atol=1e-2)


def test_a_viewpoint_that_is_read_is_a_rotation(build, seen):
    found = build(POSE).eval().factors_of(seen.image)
    close(found.viewpoint @ found.viewpoint.mT, torch.eye(3).expand(16, 3, 3), rtol=0, atol=1e-4)
    close(torch.linalg.det(found.viewpoint), torch.ones(16))
    assert found.canonical.shape == (16, 21, 3)


@pytest.mark.parametrize("stage", ["disentangle", "embed"])
def test_the_objective_of_poses_by_hand(stage, build, seen):
    system = build(replace(POSE, norm="group", x_weight=0.7, factor_weight=0.03, beta=5.0)).eval()
    (phase,) = system.step(seen, stage, Noise(2))
    _, target = system.targets(seen)
    parts = (system.canonical_encoder(target.pose), system.view_encoder(target.viewpoint))
    posterior = system.image_encoder(seen.image - 0.5) if stage == "embed" else joint_posterior(parts)
    z = posterior.mean + posterior.std * Noise(2).normal(16, 12)
    bone = scale_bone(seen.joints_3d)[:, None, None]

    def error(decoded, wanted):
        return ((decoded - wanted) * bone).square().sum((1, 2)).mean()

    x = error(system.pose_decoder(z), system.joints_of(seen))
    factors = error(system.canonical_decoder(z[:, :6]), target.pose) + error(
        system.view_decoder(z[:, 6:]), target.viewpoint
    )
    rate = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.var.log()).sum(1).mean()
    close(phase.losses.total, 0.7 * x + 0.03 * factors + 5 * rate, rtol=1e-4, atol=0)
    close(phase.losses.x, x, rtol=1e-4, atol=0)


def test_disentangling_uses_all_poses_and_no_picture(build, seen):
    system = build(POSE)
    some = replace(seen, pose_known=torch.arange(16) < 4)
    (all_of_them,), (held_back,) = (
        losses(system, seen, "disentangle"),
        losses(system, replace(some, image=None), "disentangle"),
    )
    assert all_of_them.scalars() == held_back.scalars()


def test_embedding_uses_known_poses_and_with_weak_labels_all_viewpoints(build, seen):
    some = replace(seen, pose_known=torch.arange(16) < 4)
    joints = torch.where(
        some.pose_known[:, None, None], seen.joints_3d, seen.joints_3d.roll(1, 0)
    )  # other poses, other views
    other = replace(some, joints_3d=joints)
    semi, weak = (build(replace(POSE, norm="group", weak=kind)) for kind in ("none", "viewpoint"))
    (first,), (second,) = losses(semi, some, "embed"), losses(semi, other, "embed")
    assert first.scalars() == second.scalars()
    (third,), (fourth,) = losses(weak, some, "embed"), losses(weak, other, "embed")
    assert third.x == fourth.x == first.x
    assert third.y1 == fourth.y1 == first.y1
    assert third.y2 != fourth.y2
    assert third.rate != first.rate


@pytest.mark.parametrize("config", [TAG, LAYERS, POSE], ids=["tag", "layers", "pose"])
@pytest.mark.parametrize("stage", ["disentangle", "embed"])
def test_a_hand_with_a_missing_joint_teaches_nothing_and_spoils_nothing(config, stage, build, seen):
    system, valid = build(replace(config, norm="group")), seen.joint_valid.clone()
    valid[0, 9] = valid[1, 4] = valid[2] = False
    spoilt = [
        replace(seen, joint_valid=valid, joints_3d=torch.where(valid[..., None], seen.joints_3d, n))
        for n in (0.0, 1e6)
    ]
    first, second = (losses(system, hands, stage)[0] for hands in spoilt)
    assert first.scalars() == second.scalars()
    assert first.total.isfinite()


@pytest.mark.parametrize(
    ("kind", "config", "missing", "message"),
    [
        (DvaeImage, TAG, "content", "must have content; .*content='residual'"),
        (DvaeImage, RESIDUAL, "joints_3d", "joints_3d"),
        (DvaeLayers, LAYERS, "segmentation", "must have segmentation; .*rendered hands"),
        (DvaePose, POSE, "side", "side"),
    ],
)
def test_data_without_a_factor_are_refused(kind, config, missing, message, drawn):
    spec = drawn(16).spec
    rest = tuple(name for name in spec.modalities if name != missing)
    with pytest.raises(ValueError, match=message):
        kind(config, replace(spec, modalities=rest), Crop(32))


def test_the_papers_system_does_not_take_the_layered_content(drawn):
    with pytest.raises(ValueError, match="DvaeLayers"):
        DvaeImage(LAYERS, drawn(16).spec, Crop(32))
