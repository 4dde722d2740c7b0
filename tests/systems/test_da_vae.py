"""da-VAE: which part of z each modality hears, the frozen mask network, equal sizes, clouds, views, the
objective."""

from dataclasses import replace

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.hands import Hands
from handvae.data.readers.rendered import RenderedHands, RenderPlan
from handvae.geometry import project, turn_picture, view_normalise
from handvae.hand import root, scale_bone
from handvae.losses import chamfer
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.noise import Noise
from handvae.systems.build import build_system
from handvae.systems.da_vae import DaVae, DaVaeConfig
from handvae.systems.detector import DetectorConfig
from handvae.systems.mask import MaskConfig, MaskSystem
from handvae.training.checkpoint import load_model
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.loop import activate_stage, fit, optimiser_steps
from handvae.training.presets import PRESETS
from handvae.training.run_folder import Run
from handvae.training.state import State

SMALL = DaVaeConfig(
    mask_width=8,
    mask_stem="half",
    pose_dims=6,
    appearance_dims=4,
    shape_dims=2,
    cloud_points=64,
    encoder=ResNetEncoder(8, "half"),
    head_width=16,
    decoder_width=16,
    hidden=32,
    fold_width=16,
    grid=5,
    posterior_samples=4,
)
MASK = MaskConfig(width=8, stem="half")
SHORT = Train(
    steps=6,
    batch=8,
    precision="float32",
    compile=False,
    channels_last=False,
    workers=1,
    log_every=1,
    save_every=100,
)
POSE, LOOKS, SHAPE = slice(0, 6), slice(6, 10), slice(10, 12)
close = torch.testing.assert_close


@pytest.fixture(scope="module")
def hands(drawn):
    """Sixteen drawn hands as crops of 32 px, with depth and mask."""
    return cut(drawn(16), torch.arange(16), Crop(32), None, None, ("image", "depth", "mask"))


@pytest.fixture(scope="module")
def solid():
    """Eight rendered hands, of which the data give clouds too."""
    return RenderedHands(RenderPlan(8, seed=5, cloud=400))


@pytest.fixture
def build(drawn):
    """Builds a system with seeded weights for the drawn hands."""

    def make(config=SMALL, **changes):
        torch.manual_seed(0)
        return build_system(config, replace(drawn(16).spec, **changes), Crop(32))

    return make


def pose_losses(system, hands, seed=0):
    activate_stage(system, system.stages[-1])
    (phase,) = system.step(hands, "pose", Noise(seed))
    return phase.losses


# ----------------------------------------------------------------------------------------------------- who
# hears which part


@pytest.mark.parametrize(
    ("part", "changed"),
    [(POSE, {"joints", "cloud", "image"}), (LOOKS, {"image"}), (SHAPE, {"cloud", "image"})],
    ids=["z1", "z2", "z3"],
)
def test_poses_hear_z1_clouds_z1_and_z3_pictures_all(part, changed, build):
    system = build().eval()
    z = torch.randn(3, 12, generator=torch.Generator().manual_seed(1))
    other = z.clone()
    other[:, part] = z[:, part].flip(0)
    first, second = system.decode(z), system.decode(other)
    differing = {
        name
        for name in ("joints", "cloud", "image")
        if not torch.equal(getattr(first, name), getattr(second, name))
    }
    assert differing == changed


@pytest.mark.parametrize("detach_across_factors", [False, True])
def test_apart_each_head_learns_from_its_own_modality_alone(detach_across_factors, build, hands):
    system = build(replace(SMALL, detach_across_factors=detach_across_factors, betas=(0.0, 0.0, 0.0)))
    found = pose_losses(system, hands)
    reached, means = [], [head.gaussian.mean.weight for head in system.encoder.heads]
    for term in (found.pose, found.cloud, found.image):
        heads = torch.autograd.grad(term, means, retain_graph=True, allow_unused=True)
        reached.append([gradient is not None and bool(gradient.abs().max() > 0) for gradient in heads])
    together = [[True, False, False], [True, False, True], [True, True, True]]
    assert reached == (
        [[True, False, False], [False, False, True], [False, True, False]]
        if detach_across_factors
        else together
    )


def test_the_published_sizes(build):
    config = DaVaeConfig()
    assert config.dims == (24, 16, 8)
    system = build(replace(SMALL, pose_dims=24, appearance_dims=16, shape_dims=8, grid=45))
    decoded = system.eval().decode(torch.randn(2, 48))
    assert decoded.joints.shape == (2, 21, 3)
    assert decoded.cloud.shape == (2, 2025, 3)
    assert decoded.image.shape == (2, 3, 32, 32)


@pytest.mark.parametrize(("ours", "baseline"), [("da-vae", "na-vae"), ("rendered-da-64", "rendered-na-64")])
def test_na_vae_has_as_many_parameters_within_five_percent(ours, baseline, drawn):
    spec, counts = drawn(4).spec, []
    for name in (ours, baseline):
        with torch.device("meta"):
            system = DaVae(PRESETS[name].system, spec, PRESETS[name].crop)
        counts.append(
            sum(p.numel() for p in system.parameters()) - sum(p.numel() for p in system.mask_net.parameters())
        )
        kernels = [module for module in system.modules() if type(module).__name__ == "SelectiveKernel"]
        assert len(kernels) == (27 if name == ours else 0), "one for each of nine blocks of three heads"
    assert counts[1] == pytest.approx(counts[0], rel=0.05)
    changed = {"attention", "head_width"}
    one, other = (vars(PRESETS[name].system) for name in (ours, baseline))
    assert {name for name in one if one[name] != other[name]} == changed, "nothing else differs"


# ------------------------------------------------------------------------------------------------------- the
# mask network


def test_each_stage_leaves_the_others_networks_bit_identical(build, hands, drawn, tmp_path):
    system = build()
    assert [stage.name for stage in system.stages] == ["mask", "pose"]
    state, run = State.fresh(system, SHORT), Run(system, drawn(16), Augment(), SHORT, tmp_path)
    for stage, own in zip(system.stages, (True, False), strict=True):
        activate_stage(system, stage)
        before = {name: value.clone() for name, value in system.state_dict().items()}
        for n in range(2):
            assert list(
                optimiser_steps(state, system.step(hands, stage.name, Noise(0, n)), run, Ranks(), n, 1e-3)
            )
        changed = {
            name for name, value in system.state_dict().items() if not torch.equal(value, before[name])
        }
        assert changed == {name for name in before if name.startswith("mask_net.") == own}, (
            "its statistics stand still too"
        )


def test_no_gradient_reaches_the_mask_network_from_poses(build, hands):
    system = build()
    system.train().requires_grad_(True)
    (phase,) = system.step(hands, "pose", Noise(0))
    phase.losses.total.backward()
    assert all(p.grad is None for p in system.mask_net.parameters())
    assert all(p.grad is not None for p in system.encoder.entry.parameters())


def test_a_named_mask_network_is_taken_and_not_trained(build, hands):
    named = replace(SMALL, mask="some-run")
    system, other = build(named), build(MASK)
    assert [stage.name for stage in system.stages] == ["pose"]
    with pytest.raises(ValueError, match="mask network that is named"):
        next(system.step(hands, "pose", Noise(0)))
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.01)
    system.attach("mask", other)
    close(system.eval().masked(hands.image), hands.image * other.eval().net(hands.image).sigmoid())
    assert pose_losses(system, hands).total.isfinite()


@pytest.mark.parametrize(
    ("config", "says"),
    [(MaskConfig(width=16, stem="half"), "set mask_width"), (DetectorConfig(widths=(8, 8, 16)), "mask-net")],
)
def test_another_network_is_no_mask_network(config, says, build):
    with pytest.raises(ValueError, match=says):
        build(replace(SMALL, mask="some-run")).attach("mask", build(config))


def test_a_da_vaes_own_mask_network_is_one(build, hands):
    first, second = build(), build(replace(SMALL, mask="some-run"))
    with torch.no_grad():
        first.mask_net.last[1].bias.add_(1.0)
    second.eval().attach("mask", first)
    close(second.masked(hands.image), first.eval().masked(hands.image))


def test_the_background_does_not_matter_where_the_mask_is_black(build, hands):
    system = build().eval()
    with torch.no_grad():
        system.mask_net.last[1].weight.zero_()
        system.mask_net.last[1].bias.fill_(-100.0)
    close(
        system.predict_uncalibrated(Hands(image=hands.image)).joints,
        system.predict_uncalibrated(Hands(image=1 - hands.image)).joints,
    )


def test_the_mask_system_learns_the_drawn_masks(build, hands, drawn, tmp_path):
    system = build(MASK)
    train = replace(SHORT, steps=40, lr=8e-3, warmup_steps=0, ema=0.0)
    fit(
        Run(system, drawn(16), Augment(rotation_deg=0.0, scale=0.0, shift=0.0), train, tmp_path / "run"),
        Ranks(),
    )
    assert system.summarise([hands])["training_overlap"] > 0.5
    assert system.sample_sheet(hands, Noise(0)).shape == (3, 96, 16 * 32)


def test_a_mask_system_needs_masks(drawn):
    with pytest.raises(ValueError, match="must have a mask"):
        MaskSystem(MASK, replace(drawn(4).spec, modalities=("image", "joints_2d")), Crop(32))


# ---------------------------------------------------------------------------------------------- the objective


@pytest.mark.parametrize("ways", ["mean", "max"])
def test_the_objective_by_hand(ways, build, hands):
    weights = {"pose_weight": 7.0, "cloud_weight": 5.0, "image_weight": 3.0, "betas": (0.5, 0.25, 2.0)}
    system = build(replace(SMALL, norm="group", chamfer=ways, **weights)).eval()
    found = next(system.step(hands, "pose", Noise(0))).losses
    noise = Noise(0)
    draw = noise.normal(16, 12)
    target, seen = system.cloud_of(hands, noise)
    assert seen.all()
    latent = system.encode(hands.image)
    z = torch.cat(
        [p.mean + p.std * d for p, d in zip(latent.factors, draw.split((6, 4, 2), 1), strict=True)], 1
    )
    decoded = system.decode_factors(z)
    joints, cloud, image = decoded.joints, decoded.cloud, decoded.image
    bone = scale_bone(hands.joints_3d)[:, None, None]
    palm = root(hands.joints_3d, "palm")[:, None]
    wanted = system.view_normalise((hands.joints_3d - palm) / bone, hands)[0]
    pose, surface = (joints - wanted).square().mean(), chamfer(cloud, target, ways).mean()
    picture = (image - system.masked(hands.image)).square().mean()
    kls = [0.5 * (p.mean**2 + p.var - 1 - p.var.log()).sum(1).mean() for p in latent.factors]
    rates = 0.5 * kls[0] / 6 + 0.25 * kls[1] / 4 + 2.0 * kls[2] / 2
    close(found.total, 7 * pose + 5 * surface + 3 * picture + rates)
    close(found.pose, pose)
    close(found.cloud, surface)


def test_rates_per_dimension_times_dimensions_are_the_kl(build, hands):
    found = pose_losses(build(), hands)
    close(found.kl_pose * 6 + found.kl_appearance * 4 + found.kl_shape * 2, found.rate)
    latent = build().encode(hands.image)
    assert [part.mean.shape[1] for part in latent.factors] == [6, 4, 2]


@pytest.mark.parametrize(
    "joints", [(4,), (0,), (9, 10), tuple(range(21))], ids=["tip", "wrist", "scale bone", "all"]
)
def test_what_stands_for_a_missing_joint_does_not_matter(joints, build, hands):
    system, valid = build(replace(SMALL, norm="group")), hands.joint_valid.clone()
    valid[:2, list(joints)] = False
    spoilt = [
        replace(hands, joint_valid=valid, joints_3d=torch.where(valid[..., None], hands.joints_3d, n))
        for n in (0.0, 1e6)
    ]
    first, second = (pose_losses(system, some) for some in spoilt)
    assert first.scalars() == second.scalars()
    assert first.total.isfinite()


def test_without_clouds_poses_and_pictures_train_alone(build, hands):
    bare = ("image", "joints_2d", "joints_3d", "joint_valid")
    system = build(replace(SMALL, cloud_weight=0.0, mask="some-run"), modalities=bare, root="palm")
    system.has_trained_mask = True
    assert system.fields == ("image",)
    found = pose_losses(system, replace(hands, depth=None, mask=None))
    assert found.cloud == 0
    assert found.pose > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"modalities": ("image", "joints_3d", "mask")}, "set cloud_weight to 0"),
        ({"modalities": ("image", "joints_3d", "cloud")}, "masks"),
        ({"modalities": ("image", "mask", "cloud")}, "joints_3d"),
        ({"root": "wrist"}, "camera is known"),
    ],
)
def test_data_without_what_it_needs_are_refused(changes, says, build):
    with pytest.raises(ValueError, match=says):
        build(**changes)


# ------------------------------------------------------------------------------------------- clouds and views


@pytest.mark.parametrize("sides", ["left", "keep"])
def test_picture_joints_and_cloud_turn_and_shrink_together(sides, solid):
    """Turned by any angle, mirrored and shrunk: projected, the cloud lies in the mask, and both ways to it
    agree."""
    crop, augment = Crop(64, sides=sides), Augment(rotation_deg=180.0, scale=0.0, shrink=0.5, shift=0.0)
    hands = cut(solid, torch.arange(8), crop, augment, Noise(3), ("image", "depth", "mask"))
    close(project(hands.joints_3d, hands.intrinsics), hands.joints_2d, rtol=0, atol=0.02)
    place = project(hands.cloud, hands.intrinsics).long().clamp(0, 63)
    inside = hands.mask.flatten(1).gather(1, place[..., 1] * 64 + place[..., 0]).mean(1)
    assert inside.min() > 0.75, "pixels of the crop are not those of the picture, at the edge"
    torch.manual_seed(0)
    spec = replace(solid.spec, modalities=tuple(name for name in solid.spec.modalities if name != "cloud"))
    given = DaVae(SMALL, solid.spec, crop)
    drawn = DaVae(replace(SMALL, cloud_points=400), spec, crop)
    assert (given.fields, drawn.fields) == (("image", "mask"), ("image", "depth", "mask"))
    one, other = (system.cloud_of(hands, Noise(0))[0] for system in (given, drawn))
    assert (chamfer(one, other) < 0.08).all(), "some 4 mm"
    joints, _ = given.view_normalise(given.joints_of(hands), hands)
    near = (one[:, :, None] - joints[:, None]).norm(dim=3).amin(2)
    assert (near.mean(1) < 0.5).all(), "skin is near joints: both have one root and one unit"


def test_shrinking_makes_hands_smaller_and_leaves_poses(solid):
    sizes = []
    for shrink in (0.0, 0.2):
        augment = Augment(rotation_deg=0.0, scale=0.0, shrink=shrink, shift=0.0)
        hands = [cut(solid, torch.arange(8), Crop(64), augment, Noise(seed)) for seed in range(12)]
        sizes.append(torch.stack([(h.joints_2d.amax(1) - h.joints_2d.amin(1)).amax(1) for h in hands]))
        close(hands[0].joints_3d, cut(solid, torch.arange(8), Crop(64)).joints_3d)
    ratio = sizes[1] / sizes[0]
    assert 0.8 <= ratio.min() < 0.83
    assert 0.97 < ratio.max() <= 1.0001


def test_a_turned_view_looks_straight_at_the_crops_centre(build, hands):
    system = build()
    middle = torch.full((16, 1, 2), 16.0)
    far = torch.cat([middle, torch.ones(16, 1, 1)], 2) @ torch.linalg.inv(hands.intrinsics).mT * 500
    turned, rotation = system.view_normalise(far, hands)
    close(turned[..., :2], torch.zeros(16, 1, 2), rtol=0, atol=1e-2)
    assert (turned[..., 2] > 0).all()
    close(rotation, view_normalise(far, far[:, 0])[1])
    assert (rotation - torch.eye(3)).abs().max() > 1e-3


def test_a_warped_picture_shows_points_where_the_turned_camera_projects_them():
    """Some 30 degrees off the axis: a spot painted at each point is found again at its place before the
    turned camera."""
    size, focal = 64, 160.0
    aim = torch.tensor([[0.5, -0.3, 1.0], [-0.2, 0.6, 1.0]])
    intrinsics = torch.eye(3).repeat(2, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = size / 2 - focal * aim[:, :2]
    points = 500 * aim[:, None] + torch.rand(2, 40, 3, generator=torch.Generator().manual_seed(0)) * 120 - 60
    joints, rotation = view_normalise(points, aim)
    centres, place = torch.arange(size) + 0.5, project(points, intrinsics)
    across, down = ((centres - place[..., axis, None]).square() for axis in (0, 1))
    turned = turn_picture(torch.exp(-(down[..., :, None] + across[..., None, :]) / 8), rotation, intrinsics)
    total = turned.sum((2, 3))
    found = torch.stack([turned.sum(2) @ centres / total, turned.sum(3) @ centres / total], -1)
    wanted = joints[..., :2] / joints[..., 2:] * (focal * aim.norm(dim=1))[:, None, None] + size / 2
    inside = ((wanted > 10) & (wanted < size - 10) & (place > 10) & (place < size - 10)).all(2)
    assert inside.sum() > 40
    close(found[inside], wanted[inside], rtol=0, atol=0.1)
    assert (found - place)[inside].norm(dim=1).mean() > 1, "the picture did turn"


def test_a_warped_view_reaches_training_and_reading(build, hands):
    system, plain = (
        build(replace(SMALL, view_warped=warped, norm="group")).eval() for warped in (True, False)
    )
    assert not torch.equal(system.encoder_input(hands), hands.image)
    assert torch.equal(plain.encoder_input(hands), hands.image)
    assert torch.equal(system.encoder_input(replace(hands, intrinsics=None)), hands.image), (
        "where the camera looked is not known"
    )
    assert pose_losses(system, hands).image != pose_losses(plain, hands).image
    assert not torch.equal(system.predict(hands).joints, plain.predict(hands).joints)


def test_poses_read_come_back_before_the_camera_as_it_was(build, hands):
    system, plain = build().eval(), build(replace(SMALL, view_normalised=False)).eval()
    seen, told = system.predict_uncalibrated(Hands(image=hands.image)), system.predict(hands)
    close(system.view_normalise(told.joints, hands)[0], seen.joints)
    assert not torch.equal(told.joints, seen.joints)
    close(plain.predict(hands).joints, plain.predict_uncalibrated(Hands(image=hands.image)).joints)
    assert (told.spread > 0).all()


def test_a_hand_of_which_nothing_is_seen_has_no_cloud(build, hands):
    system, mask = build(replace(SMALL, norm="group")), hands.mask.clone()
    mask[0] = 0
    cloud, seen = system.cloud_of(replace(hands, mask=mask), Noise(0))
    assert seen.tolist() == [False] + 15 * [True]
    assert not cloud[0].any()
    assert pose_losses(system, replace(hands, mask=mask)).total.isfinite()


# ---------------------------------------------------------------------------------------------- ------- a run


@pytest.mark.parametrize("attention", [True, False], ids=["da", "na"])
def test_a_model_comes_back_from_a_run_of_both_stages(attention, drawn, tmp_path):
    torch.manual_seed(0)
    data, crop = drawn(16), Crop(32, sides="left")
    system = build_system(replace(SMALL, attention=attention), replace(data.spec, sides="left"), crop)
    path = fit(Run(system, data, Augment(shrink=0.2), SHORT, tmp_path / "run"), Ranks())
    image = cut(data, torch.arange(4), crop).require("image")
    model = load_model(path)
    close(
        model.pose_estimator.predict_uncalibrated(Hands(image=image)).joints,
        system.predict_uncalibrated(Hands(image=image)).joints,
        rtol=1e-3,
        atol=1e-4,
    )
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"mask"' in text
    assert '"kl_shape"' in text
    assert model.header.summary["training_chamfer"] > 0


def test_it_learns_a_few_hands(build, hands):
    system = build(replace(SMALL, betas=(0.0, 0.0, 0.0)))
    activate_stage(system, system.stages[-1])
    optimiser = torch.optim.Adam([p for p in system.parameters() if p.requires_grad], 5e-3)
    terms = []
    for n in range(40):
        (phase,) = system.step(hands[:4], "pose", Noise(0, n))
        optimiser.zero_grad()
        phase.losses.total.backward()
        optimiser.step()
        terms.append(phase.losses.scalars())
    left = {name: terms[-1][name] / terms[0][name] for name in ("pose", "cloud", "image")}
    assert left["pose"] < 0.6
    assert left["cloud"] < 0.75
    assert left["image"] < 0.3
