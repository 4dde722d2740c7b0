"""The transformer that reads joints: its size, what it learns, and that it is an ordinary system."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.nets.vit import Attention, PatchTransformer, waves
from handvae.noise import Noise
from handvae.systems.build import build_system
from handvae.systems.keypoint_vit import KeypointVit, KeypointVitConfig
from handvae.systems.system import Generator
from handvae.training.checkpoint import load_model, save_model
from handvae.training.distributed import Ranks
from handvae.training.loop import fit
from handvae.training.presets import PRESETS

SMALL = KeypointVitConfig(patch_px=8, width=32, depth=2, heads=4, mlp_ratio=2)
QUERY = replace(SMALL, head="query")
SOLID = replace(SMALL, pose="3d")


@pytest.fixture
def vit(tiny_spec):
    """Builds a transformer with seeded weights."""

    def make(config: KeypointVitConfig = SMALL, size_px: int = 32) -> KeypointVit:
        torch.manual_seed(0)
        return KeypointVit(config, tiny_spec, Crop(size_px))

    return make


@pytest.mark.parametrize("head", ["tokens", "query"])
@pytest.mark.parametrize("name", ["keypoint-vit", "keypoint-vit-3d", "keypoint-vit-64"])
def test_the_presets_have_the_papers_ten_million_parameters(name, head):
    preset = PRESETS[name]
    system = build_system(
        replace(preset.system, head=head),
        DataSpec("any", 1, 128, ("image", "joints_2d", "joints_3d"), "right"),
        preset.crop,
    )
    assert sum(p.numel() for p in system.parameters()) == pytest.approx(10e6, rel=0.05)


def test_attention_is_the_weighted_mean_of_values_by_hand():
    torch.manual_seed(0)
    attention, tokens, memory = Attention(8, 2), torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    query, keys, values = attention.query(tokens), *attention.memory(memory).chunk(2, -1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (query[..., part] @ keys[..., part].mT / 4**0.5).softmax(-1)
        heads.append(weights @ values[..., part])
    torch.testing.assert_close(attention(tokens, memory), attention.out(torch.cat(heads, -1)))


def test_places_begin_as_waves_that_tell_near_from_far():
    places = waves(8, 64).view(8, 8, 64)
    assert len(places.flatten(0, 1).unique(dim=0)) == 64
    to_corner = (places - places[0, 0]).norm(dim=-1)
    assert (to_corner[0, 1:4] > to_corner[0, :3]).all()  # along a row
    torch.testing.assert_close(to_corner, to_corner.T)  # and a column alike
    assert places.abs().max() <= 1


def test_the_transformer_knows_where_a_patch_lies():
    """Without positions a picture and its patches in another order would read alike."""
    torch.manual_seed(0)
    trunk = PatchTransformer(32, patch_px=8, width=32, depth=2, heads=4, mlp_ratio=2)
    image = torch.rand(1, 3, 32, 32)
    order = torch.randperm(16)
    patches = image.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3)[:, :, order]
    other = patches.unflatten(2, (4, 4)).permute(0, 1, 2, 4, 3, 5).reshape(1, 3, 32, 32)
    moved = trunk(image)[:, order]
    assert (trunk(other) - moved).abs().max() > 1e-3
    trunk.positions.data.zero_()
    torch.testing.assert_close(trunk(other), trunk(image)[:, order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [SMALL, QUERY], ids=["tokens", "query"])
def test_hands_of_a_batch_know_nothing_of_each_other(config, vit, crops):
    system, order = vit(config).eval(), torch.tensor([3, 0, 5, 1, 4, 2])
    together = system.predict_uncalibrated(Hands(image=crops.image[:6])).joints
    torch.testing.assert_close(
        system.predict_uncalibrated(Hands(image=crops.image[:6][order])).joints,
        together[order],
        rtol=1e-4,
        atol=1e-6,
    )
    torch.testing.assert_close(
        system.predict_uncalibrated(Hands(image=crops.image[4:5])).joints, together[4:5], rtol=1e-4, atol=1e-6
    )
    assert (together[0] - together[1]).abs().max() > 1e-5


@pytest.mark.parametrize(
    "config", [SMALL, SOLID, replace(SMALL, loss="nll"), QUERY], ids=["2d", "3d", "nll", "query"]
)
def test_a_small_transformer_overfits_a_few_hands(config, vit, crops):
    system, batch = vit(config).train(), crops[:8]
    optimiser = torch.optim.Adam(system.parameters(), 2e-3)
    errors = []
    for _ in range(200):
        losses = next(system.step(batch, "all", Noise(0))).losses
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        errors.append(losses.error.item())
    assert min(errors[-20:]) < errors[0] / 4


def test_the_spread_is_learned_without_a_word_to_the_joints(vit, crops):
    system = vit()
    next(system.step(crops[:4], "all", Noise(0))).losses.spread.backward()
    assert {
        name for name, p in system.named_parameters() if p.grad is not None and p.grad.abs().max() > 0
    } == {
        "head.logvar.weight",
        "head.logvar.bias",
    }


def test_bf16_reads_what_float32_reads(vit, crops):
    system = vit().eval()
    exact = system.predict_uncalibrated(Hands(image=crops.image[:8])).joints
    with torch.autocast("cpu", torch.bfloat16):
        rough = system.predict_uncalibrated(Hands(image=crops.image[:8]))
    assert rough.joints.dtype == rough.spread.dtype == torch.float32
    torch.testing.assert_close(rough.joints, exact, atol=0.03, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_same_seed_gives_the_same_weights(precision, vit, run, tmp_path):
    first, second = (
        fit(run(vit(), tmp_path / name, precision=precision), Ranks()).read_bytes() for name in ("a", "b")
    )
    assert first == second


def test_a_transformer_comes_back_from_its_file_and_makes_no_pictures(vit, crops, tmp_path):
    save_model(tmp_path / "vit.safetensors", vit(), steps=2, preset="keypoint-vit")
    model = load_model(tmp_path / "vit.safetensors")
    assert isinstance(model.system, KeypointVit)
    assert not isinstance(model.system, Generator)
    assert model.header.system == "keypoint_vit"
    torch.testing.assert_close(
        model.pose_estimator.predict_uncalibrated(Hands(image=crops.image[:4])).joints,
        vit().eval().predict_uncalibrated(Hands(image=crops.image[:4])).joints,
    )


@pytest.mark.parametrize(
    ("config", "size_px", "says"),
    [
        (replace(SMALL, patch_px=12), 32, "use a multiple, such as 24"),
        (replace(SMALL, heads=5), 32, "32 channels do not divide into 5 heads"),
        (replace(SMALL, width=30, heads=5), 32, "use a multiple of 4"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(config, size_px, says, vit):
    with pytest.raises(ValueError, match=says):
        vit(config, size_px)


def test_a_damaged_size_is_refused():
    with pytest.raises(ValueError, match="depth"):
        replace(SMALL, depth=10**6)


def test_it_is_trained_and_used_by_the_commands(handvae, tiny_set, tmp_path):
    out, flags = (
        tmp_path / "run",
        ("--system.width", 32, "--system.depth", 2, "--system.heads", 4, "--crop.size-px", 32),
    )
    more = ("--train.no-compile", "--train.steps", 3, "--train.batch", 8, "--train.warmup-steps", 1)
    code, _, error = handvae("train", "keypoint-vit", "--data.root", tiny_set, "--out", out, *flags, *more)
    assert code == 0, error
    code, _, error = handvae(
        "estimate", tiny_set / "images" / "000.png", "--model", out, "--out", tmp_path / "estimate"
    )
    assert code == 0, error
    hand = json.loads((tmp_path / "estimate" / "estimate.json").read_text())["hands"][0]
    assert len(hand["keypoints"]) == 21
