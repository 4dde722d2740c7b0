"""cm-VAE: the published sizes, what a pair may move, what the modalities mean, what a reading claims."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut, move_labels
from handvae.data.hands import DataSpec, Hands
from handvae.data.subset import FewLabels
from handvae.hand import LEFT, RIGHT, root, scale_bone
from handvae.inference.locate import one_hand
from handvae.inference.reading import read_hand
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.noise import Noise
from handvae.rv.fusion import fuse
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.training.checkpoint import load_model
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.loop import fit, optimiser_steps
from handvae.training.run_folder import Run
from handvae.training.state import State

TINY = CmVaeConfig(
    variant=4,
    latent_dims=6,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=32,
    norm="group",
    posterior_samples=8,
)
ALL = replace(TINY, more_pairs=("rgb-2d", "2d-3d", "depth-3d", "3d-depth"))
SHORT = Train(
    steps=3,
    batch=8,
    precision="float32",
    compile=False,
    channels_last=False,
    workers=1,
    log_every=20,
    save_every=100,
)
STILL = Augment(rotation_deg=0.0, scale=0.0, shift=0.0)
close = torch.testing.assert_close


@pytest.fixture
def build(drawn):
    """Builds a system with seeded weights for the drawn hands."""

    def make(config: CmVaeConfig = TINY, crop: Crop | None = None) -> CmVae:
        torch.manual_seed(0)
        return CmVae(config, drawn(16).spec, crop or Crop(32))

    return make


def phases(system, hands, seed=0):
    return {phase.name: phase.losses for phase in system.step(hands, "all", Noise(seed))}


# ---------------------------------------------------------------------------------------------- ------- sizes


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"variant": 1}, 12_398_387),
        ({"variant": 4}, 14_347_346),
        ({"variant": 3}, 13_233_054),
        ({"variant": 2}, 13_512_679),
        ({"variant": 1, "side_given": False}, 12_398_267),
    ],
)
def test_the_papers_networks_have_the_published_number_of_parameters(change, count):
    spec = DataSpec("any", 1, 256, ("image", "joints_3d", "side"), "both")
    system = CmVae(replace(CmVaeConfig(), **change), spec, Crop(256))
    assert sum(p.numel() for p in system.parameters()) == count


def test_a_depth_encoder_is_told_no_side(build):
    system = build(replace(TINY, input="depth"))
    assert system.encoders["depth"].head.mean.in_features == system.encoders["depth"].features.features
    assert system.encoders["3d"].head.mean.in_features == 32 + 2


@pytest.mark.parametrize(
    ("variant", "pairs"),
    [(1, ["2d-3d"]), (2, ["2d-3d", "3d-3d"]), (3, ["2d-3d", "2d-2d"]), (4, ["2d-3d", "2d-2d", "3d-3d"])],
)
def test_a_variant_takes_a_step_a_pair_in_the_papers_order(variant, pairs, build, seen):
    system = build(replace(TINY, input="2d", variant=variant))
    assert list(phases(system, seen)) == pairs
    assert system.fields == system.reads == ()  # no picture is read for joints


# ---------------------------------------------------------------------------------------------- ---- training


def test_a_pairs_step_changes_its_encoder_and_its_decoder_alone(build, drawn, seen, tmp_path):
    system = build(replace(ALL, norm="batch")).train()
    state = State.fresh(system, SHORT)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    stepped = []
    for phase, _ in optimiser_steps(
        state,
        system.step(seen, "all", Noise(0)),
        Run(system, drawn(16), STILL, SHORT, tmp_path),
        Ranks(),
        0,
        1e-2,
    ):
        now = system.state_dict()
        changed = {".".join(name.split(".")[:2]) for name in now if not torch.equal(now[name], before[name])}
        source, target = phase.name.split("-")
        assert changed == {f"encoders.{source}", f"decoders.{target}"}
        before = {name: value.clone() for name, value in now.items()}
        stepped.append(phase.name)
    assert stepped == ["rgb-3d", "rgb-rgb", "3d-3d", "rgb-2d", "2d-3d", "depth-3d", "3d-depth"]


def test_the_objective_by_hand(build, seen):
    system = build(replace(TINY, input="2d")).eval()
    draw = Noise(5).normal(16, 6)
    losses = system.objective(seen, "2d", "3d", Noise(5))
    posterior = system.encode(seen, "2d")
    decoded = system.decoders["3d"](posterior.mean + posterior.std * draw)
    squared = (decoded - system.joints_of(seen)).square().sum((1, 2))
    kl = 0.5 * (posterior.mean**2 + posterior.std**2 - 1 - 2 * posterior.std.log()).sum(1)
    close(losses.total, ((squared + kl) / 63).mean(), rtol=1e-4, atol=1e-5)
    close(losses.error * 63, squared.mean(), rtol=1e-4, atol=1e-5)
    whole = build(replace(TINY, input="2d", reduction="sum")).eval().objective(seen, "2d", "3d", Noise(5))
    close(whole.total, (squared + kl).mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_logged_beta_weighs_the_kl_against_the_summed_error(reduction, build, seen):
    for pair, losses in phases(build(replace(TINY, reduction=reduction)), seen).items():
        values = 3 * 32 * 32 if pair.endswith("rgb") else 63
        scale = losses.total / (losses.error * values + losses.beta * losses.rate)
        close(scale.item(), 1 / values if reduction == "mean" else 1.0, rtol=1e-4, atol=0)
        assert losses.beta.item() == pytest.approx(1.0 if reduction == "sum" else values / 63)


def test_the_weight_of_the_kl_is_an_option(build, seen):
    """With the same draws the errors are the same, and what the KL adds is in proportion."""
    full, tenth = (
        build(replace(TINY, kl_weight=weight)).eval().objective(seen, "3d", "3d", Noise(5))
        for weight in (1.0, 0.1)
    )
    assert full.error.item() == tenth.error.item()
    close(tenth.total - tenth.error, 0.1 * (full.total - full.error), rtol=1e-4, atol=0)
    assert tenth.beta.item() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="kl_weight"):
        replace(TINY, kl_weight=-1.0)


def test_the_weight_of_the_kl_rises_from_nothing(build, seen):
    system = build(replace(TINY, rate_warmup_steps=10))
    betas = [system.objective(seen, "3d", "3d", Noise(0, step)).beta.item() for step in (0, 4, 9, 50)]
    assert betas == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_pairs_can_be_named_alone(build, seen):
    system = build(replace(TINY, input="2d", variant=0, more_pairs=("2d-2d", "3d-3d")))
    assert list(phases(system, seen)) == ["2d-2d", "3d-3d"]


def test_noise_on_2d_joints_is_as_wide_as_asked_and_leaves_the_target_alone(build, seen):
    quiet, noisy = (build(replace(TINY, input="2d", joint_noise_px=px)) for px in (0.0, 4.0))
    given = []
    noisy.encoders["2d"].register_forward_pre_hook(lambda module, values: given.append(values[0]))
    first, second = phases(quiet, seen), phases(noisy, seen)
    shift = given[0] - quiet.observed(seen, "2d")
    assert shift.std().item() == pytest.approx(4.0 / 16, rel=0.1)
    assert second["2d-2d"].error != first["2d-2d"].error
    close(noisy.observed(seen, "2d"), quiet.observed(seen, "2d"))
    assert noisy.predict(seen).joints.equal(noisy.predict(seen).joints)  # none in use


def test_a_pose_held_back_teaches_nothing_but_its_picture_does(build, seen):
    """Semi-supervision: unlabelled pictures take part in i -> i alone."""
    system = build()
    some = replace(seen, pose_known=torch.arange(16) < 5)
    known = some.pose_known[:, None, None]
    spoilt = replace(
        some,
        joints_3d=torch.where(known, some.joints_3d, some.joints_3d.flip(1) + 50),
        image=torch.where(known[..., None], some.image, 1 - some.image),
    )
    first, second = phases(system, some), phases(system, spoilt)
    assert first["rgb-3d"].scalars() == second["rgb-3d"].scalars()
    assert first["3d-3d"].scalars() == second["3d-3d"].scalars()
    assert first["rgb-rgb"].scalars() != second["rgb-rgb"].scalars()
    assert first["rgb-3d"].scalars() != phases(system, seen)["rgb-3d"].scalars()


def test_a_batch_without_any_known_pose_costs_nothing(build, seen):
    losses = phases(build(), replace(seen, pose_known=torch.zeros(16, dtype=torch.bool)))
    assert losses["rgb-3d"].total == losses["3d-3d"].total == 0
    assert losses["rgb-rgb"].total > 0


def test_what_stands_for_a_missing_joint_does_not_matter(build, seen):
    system = build(replace(TINY, input="2d"))
    valid = torch.rand(16, 21, generator=torch.Generator().manual_seed(0)) < 0.7
    valid[:2] = False
    hands = [
        replace(
            seen, joint_valid=valid, joints_3d=torch.where(valid[..., None], seen.joints_3d, number),
            joints_2d=torch.where(valid[..., None], seen.joints_2d, number),
        )
        for number in (0.0, 1e6)
    ]  # fmt: skip
    first, second = (phases(system, some) for some in hands)
    for pair in first:
        assert first[pair].scalars() == pytest.approx(second[pair].scalars(), rel=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 1.0])
def test_few_labels_keep_exactly_the_first_share(share, drawn):
    data = FewLabels(drawn(40), share)
    known = data.labels(torch.arange(40)).pose_known
    assert known.tolist() == [row < round(40 * share) for row in range(40)]
    assert data.labels(torch.tensor([39, 0])).pose_known.tolist() == [share == 1.0, True]


@pytest.mark.parametrize(
    "config", [TINY, replace(TINY, input="2d"), replace(TINY, input="depth")], ids=lambda config: config.input
)
def test_a_model_comes_back_from_its_run(config, build, drawn, tmp_path):
    data, system = FewLabels(drawn(16), 0.75), build(config)
    path = fit(Run(system, data, Augment(mirror=0.5), SHORT, tmp_path / "run"), Ranks())
    model = load_model(path)
    hands = cut(data, torch.arange(16), Crop(32), fields=system.reads)
    close(model.pose_estimator.predict(hands).joints, system.predict(hands).joints, rtol=1e-3, atol=1e-4)
    assert model.header.summary["training_error"] > 0


@pytest.mark.parametrize("source", ["2d", pytest.param("rgb", marks=pytest.mark.slow)])
def test_poses_are_learned_not_only_their_mean(source, build, drawn, tmp_path):
    data, system = drawn(16), build(replace(TINY, input=source, variant=1, hidden=64))
    learning = replace(
        SHORT, steps=200, batch=16, optimiser="adam", lr=3e-3, schedule="constant", warmup_steps=1, ema=0.0
    )
    fit(Run(system, data, STILL, learning, tmp_path / "run"), Ranks())
    hands = cut(data, torch.arange(16), Crop(32))
    truth = system.joints_of(hands)
    error, mean = (
        (system.predict(hands).joints - truth).norm(dim=2).mean(),
        (truth.mean(0) - truth).norm(dim=2).mean(),
    )
    assert error < 0.85 * mean


# --------------------------------------------------------------------------------------------- --- modalities


def test_3d_is_relative_to_the_palm_in_bone_units(build, seen):
    joints = build().joints_of(seen)
    close(root(joints, "palm"), torch.zeros(16, 3), rtol=0, atol=1e-5)
    close(scale_bone(joints), torch.ones(16))
    assert build(replace(TINY, root="wrist")).joints_of(seen)[:, 0].abs().max() == 0


def test_without_the_scale_one_unit_serves_all_hands(build, seen):
    """S not given: what is read says how large the hand is."""
    larger = replace(seen, joints_3d=torch.cat([seen.joints_3d[:8], seen.joints_3d[8:] * 1.5]))
    system = build(replace(TINY, scale_given=False))
    system.prepare(larger)
    mean = scale_bone(larger.joints_3d).mean().item()
    assert system.unit_mm == pytest.approx(mean)
    close(scale_bone(system.joints_of(larger)) * mean, scale_bone(larger.joints_3d), rtol=1e-4, atol=0)
    assert build().unit_mm is None


def test_two_flips_are_no_flip_and_one_swaps_the_side(build, seen):
    system = build(ALL)
    flip = torch.tensor([[-1.0, 0.0, 32.0], [0.0, 1.0, 0.0]]).expand(16, 2, 3)

    def flipped(hands):
        return replace(move_labels(hands, flip), image=hands.image.flip(3), depth=hands.depth.flip(3))

    once, twice = flipped(seen), flipped(flipped(seen))
    assert (once.side == LEFT + RIGHT - seen.side).all()
    close(system._side(once), system._side(seen).flip(1))
    for modality in ("rgb", "depth", "2d", "3d"):
        close(system.observed(twice, modality), system.observed(seen, modality), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(system.observed(once, modality), system.observed(seen, modality), atol=1e-2)


def test_the_side_changes_what_is_read(build, seen):
    system = build().eval()
    other = replace(seen, side=LEFT + RIGHT - seen.side)
    assert (system.predict(seen).joints - system.predict(other).joints).abs().max() > 1e-4
    unsided = build(replace(TINY, side_given=False)).eval()
    close(unsided.predict(seen).joints, unsided.predict(other).joints, rtol=0, atol=0)


def test_depth_is_relative_to_the_hand_and_its_far_face_where_unknown(build, seen):
    system = build(replace(TINY, input="depth"))
    depth = system.observed(seen, "depth")
    assert depth.min() >= -1
    assert (depth[seen.depth == 0] == 1).all()
    farther = replace(
        seen,
        joints_3d=seen.joints_3d + torch.tensor([0.0, 0.0, 300.0]),
        depth=torch.where(seen.depth > 0, seen.depth + 300, 0),
    )
    close(system.observed(farther, "depth"), depth, rtol=0, atol=1e-3)
    unlabelled = replace(seen, joints_3d=None)
    assert (
        system.observed(unlabelled, "depth")[seen.depth > 0].abs().max() < 0.01
    )  # drawn flat: its median is everywhere


def test_any_modality_is_decoded_from_one_point(build, seen):
    system = build(ALL).eval()
    z = system.encode(seen, "rgb").mean
    shapes = {modality: tuple(system.decode(z, modality).shape[1:]) for modality in system.config.decoded}
    assert shapes == {"rgb": (3, 32, 32), "depth": (1, 32, 32), "2d": (21, 2), "3d": (21, 3)}
    assert 0 <= system.decode(z, "rgb").min() <= system.decode(z, "rgb").max() <= 1
    sheet = system.sample_sheet(seen[:3], Noise(0))
    assert sheet.shape == (3, 6 * 128, 3 * 128)


# --------------------------------------------------------------------------------------------- ------ reading


def test_the_spread_is_that_of_decoded_posterior_samples(build, seen):
    system = build(replace(TINY, posterior_samples=600)).eval()
    posterior = system.encode(seen[:2], "rgb")
    samples = torch.stack(
        [system.decode(posterior.sample(torch.Generator().manual_seed(n)), "3d") for n in range(600)]
    )
    close(system.predict(seen[:2]).spread, samples.std(0), rtol=0.25, atol=1e-4)
    close(system.predict(seen[:2]).joints, system.decode(posterior.mean, "3d"))


def test_a_reading_does_not_depend_on_its_batch(build, seen):
    system = build(replace(TINY, norm="batch")).eval()
    whole, alone = system.predict(seen), system.predict(seen[3:4])
    close(alone.joints, whole.joints[3:4], rtol=1e-4, atol=1e-5)
    close(alone.spread, whole.spread[3:4], rtol=1e-4, atol=1e-5)


def test_more_modalities_never_widen_the_posterior(build, seen):
    system = build(ALL).eval()
    rgb, flat = (system.encode(seen, modality) for modality in ("rgb", "2d"))
    both = fuse([rgb, flat])
    assert (both.var <= torch.minimum(rgb.var, flat.var).clamp_max(1) + 1e-6).all()
    assert system.predict(seen, ["image", "joints_2d"]).joints.shape == (16, 21, 3)


def test_a_picture_alone_is_read_where_the_data_have_one_side(drawn, seen):
    torch.manual_seed(0)
    system = CmVae(TINY, replace(drawn(16).spec, sides="left"), Crop(32)).eval()
    left = seen[seen.side == LEFT]
    close(system.predict_uncalibrated(Hands(image=left.image)).joints, system.predict(left).joints)
    both = CmVae(TINY, drawn(16).spec, Crop(32)).eval()
    with pytest.raises(ValueError, match="which hand"):
        both.predict_uncalibrated(Hands(image=seen.image))


# ---------------------------------------------------------------------------------------------- ---- commands

FLAGS = [
    *(
        "--system.hidden",
        "32",
        "--system.posterior-samples",
        "4",
        "--crop.size-px",
        "32",
        "--train.precision",
        "float32",
    ),
    *("--train.batch", "8", "--train.workers", "1", "--train.steps", "2", "--system.root", "wrist"),
]


def test_lifting_is_trained_and_measured_without_a_picture(handvae, refused, tiny_set, tmp_path):
    run = tmp_path / "run"
    code, _, error = handvae("train", "lifting", "--data.root", tiny_set, "--out", run, *FLAGS)
    assert code == 0, error
    code, _, error = handvae("evaluate", run, tiny_set, "--report", tmp_path / "measured")
    assert code == 0, error
    (model,) = json.loads((tmp_path / "measured" / "report.json").read_text())["models"]
    measures = {m["name"]: m for m in model["measures"]}
    assert "root wrist" in measures["epe"]["protocol_text"]
    line = refused(
        "estimate", tiny_set / "images" / "000.png", "--model", run, "--out", tmp_path / "estimate"
    )
    assert "is a photo, and" in line
    assert "reads a JSON file of 2D joints" in line


def test_a_model_without_the_scale_is_measured_in_its_own_unit_and_reads_photos(handvae, tiny_set, tmp_path):
    run = tmp_path / "run"
    small = ("--system.encoder.width", "8", "--system.decoder-width", "16", "--system.no-scale-given")
    code, _, error = handvae("train", "rendered-cm-64", "--data.root", tiny_set, "--out", run, *FLAGS, *small)
    assert code == 0, error
    code, _, error = handvae(
        "evaluate", run, tiny_set, "--report", tmp_path / "measured", "--metrics", "pose"
    )
    assert code == 0, error
    (model,) = json.loads((tmp_path / "measured" / "report.json").read_text())["models"]
    (epe,) = [m for m in model["measures"] if m["name"] == "epe"]
    assert "scale as given" in epe["protocol_text"]
    code, _, error = handvae(
        "estimate", tiny_set / "images" / "000.png", "--model", run, "--out", tmp_path / "estimate"
    )
    assert code == 0, error
    (hand,) = json.loads((tmp_path / "estimate" / "estimate.json").read_text())["hands"]
    assert len(hand["keypoints_3d_bone_units"]) == 21


def test_a_photo_is_read_as_the_side_that_the_user_names(build, tiny_set):
    system = build().eval()
    photo = one_hand(tiny_set / "images" / "000.png", system, (10.0, 10.0, 60.0, 60.0), "right")
    for side, number in (("left", LEFT), ("right", RIGHT)):
        read = system.predict(Hands(image=photo.image, side=torch.tensor([number]))).joints[0]
        close(torch.from_numpy(read_hand(system, replace(photo, side=side)).joints_3d), read)


# ---------------------------------------------------------------------------------------------- ---- refusals


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"variant": 0, "more_pairs": ("rgb-2d",)}, "decode 3d"),
        ({"more_pairs": ("rgb-4d",)}, "rgb-4d"),
        ({"latent_dims": 0}, "latent_dims"),
        ({"joint_noise_px": -1.0}, "joint_noise_px"),
    ],
)
def test_choices_that_do_not_fit_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        replace(TINY, **wrong)


@pytest.mark.parametrize(
    ("change", "config", "says"),
    [
        ({"modalities": ("image", "joints_3d")}, TINY, "side_given"),
        ({"modalities": ("image", "joints_2d", "side")}, TINY, "joints_3d"),
        ({"modalities": ("image", "joints_3d", "side")}, ALL, "depth, joints_2d"),
        ({"joints": 16}, TINY, "21 joints"),
    ],
)
def test_data_without_what_a_pair_needs_are_refused(change, config, says, drawn):
    with pytest.raises(ValueError, match=says):
        CmVae(config, replace(drawn(16).spec, **change), Crop(32))
