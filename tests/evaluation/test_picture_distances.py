"""Features of real pictures kept on disk, and distances between real and generated ones."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from handvae.data.readers.coco import CocoHands
from handvae.errors import UserError
from handvae.evaluation.batch_norm import batch_norm_mode, renew_statistics
from handvae.evaluation.features import (
    Extractor,
    HandFeatures,
    InceptionFeatures,
    cache_folder,
    features_of,
    kept_features,
)
from handvae.evaluation.measure import PictureProtocol
from handvae.evaluation.picture_distances import picture_measures, set_measures
from handvae.systems.srv_vae import SrvVae
from handvae.training.checkpoint import save_model


class Thumbnails(Extractor):
    """Features of a test: the picture as 4 x 4 pixels."""

    name, space, dim, size_px = "thumbnails", "thumb", 48, 4

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


class Batches:
    """Pictures that can be gone through again."""

    def __init__(self, pictures: torch.Tensor) -> None:
        self.pictures = pictures

    def __iter__(self) -> Iterator[torch.Tensor]:
        yield from self.pictures.split(3)


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))


# ----------------------------------------------------------------------------------------------- ---- keeping


def test_kept_features_are_computed_once(pictures, tmp_path):
    extractor = Thumbnails()
    first = kept_features(Batches(pictures), extractor, tmp_path)
    again = kept_features(Batches(pictures), extractor, tmp_path)
    assert extractor.seen == 10
    assert first.equal(again)
    assert first.equal(features_of(Batches(pictures), extractor))
    assert len(list(tmp_path.iterdir())) == 1


def test_other_pictures_other_order_and_another_extractor_are_other_features(pictures, tmp_path):
    extractor, other = Thumbnails(), Thumbnails()
    other.name = "other thumbnails"
    changed = pictures.clone()
    changed[4, 1, 2, 3] = 1 - changed[4, 1, 2, 3].round()
    for count, (data, network) in enumerate(
        ((pictures, extractor), (changed, extractor), (pictures.flip(0), extractor), (pictures, other)), 1
    ):
        found = kept_features(Batches(data), network, tmp_path)
        assert found.equal(features_of(Batches(data), network))
        assert len(list(tmp_path.iterdir())) == count


def test_a_damaged_file_of_features_is_named(pictures, tmp_path):
    kept_features(Batches(pictures), Thumbnails(), tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(UserError, match="delete the file"):
        kept_features(Batches(pictures), Thumbnails(), tmp_path)


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "handvae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "handvae"


# ---------------------------------------------------------------------------------------------- hand features


def test_features_of_a_model_are_its_trunks(tiny_model, tmp_path):
    extractor = HandFeatures(tiny_model)
    assert (extractor.dim, extractor.size_px) == (16, 32)
    assert extractor.distances == ("fd_hand", "kd_hand")
    images = torch.rand(3, 3, 32, 32)
    found = extractor(images)
    assert found.shape == (3, 16)
    torch.testing.assert_close(extractor(images[1:2]), found[1:2])
    assert extractor(torch.rand(2, 3, 96, 96)).shape == (2, 16)
    copy = tmp_path / "tiny.safetensors"
    copy.write_bytes(tiny_model.read_bytes())
    assert HandFeatures(copy).name == extractor.name


def test_an_extractor_that_is_no_model_is_refused():
    with pytest.raises(UserError, match="no such model"):
        HandFeatures("nothing-64")


# --------------------------------------------------------------------------------------------- ---- distances


def test_real_pictures_of_the_same_sort_are_near_and_others_far():
    generator = torch.Generator().manual_seed(0)
    real, alike, unlike = (torch.randn(400, 8, generator=generator) + shift for shift in (0.0, 0.0, 1.5))
    protocol = PictureProtocol("thumbnails", 16, "none", "real", "generated")
    near, far = (
        {m.name: m for m in set_measures(real, other, Thumbnails(), protocol, "unseen")}
        for other in (alike, unlike)
    )
    assert set(near) == {
        "fd_thumb_unseen", "kd_thumb_unseen", "kd_thumb_unseen_standard_error",
        "precision_thumb_unseen", "recall_thumb_unseen", "density_thumb_unseen", "coverage_thumb_unseen",
    }  # fmt: skip
    assert abs(near["kd_thumb_unseen"].value) < 3 * near["kd_thumb_unseen_standard_error"].value
    assert far["kd_thumb_unseen"].value > 10 * far["kd_thumb_unseen_standard_error"].value
    assert far["fd_thumb_unseen"].value == pytest.approx(8 * 2.25, rel=0.2)
    assert near["fd_thumb_unseen"].value < 1
    assert near["precision_thumb_unseen"].value > 90 > far["precision_thumb_unseen"].value


def test_generated_pictures_are_compared_pose_for_pose(build, tiny_set):
    system, data, extractor = build().eval(), CocoHands(tiny_set), Thumbnails()
    found = {m.name: m for m in picture_measures(system, data, extractor, "seen")}
    assert extractor.seen == 2 * 48
    measure = found["fd_thumb_seen"]
    assert measure.n == 48
    assert measure.value > 0
    words = str(measure)
    for part in (
        "thumbnails",
        "32 px",
        "batch norm none",
        "training poses",
        "N(0, I)",
        "variance of z_t dirac",
        "N = 48",
    ):
        assert part in words
    assert {m.name: m.value for m in picture_measures(system, data, extractor, "seen")} == {
        name: m.value for name, m in found.items()
    }
    other = {m.name: m.value for m in picture_measures(system, data, extractor, "seen", seed=1)}
    assert other["fd_thumb_seen"] != measure.value


def test_a_generator_of_the_real_pictures_has_distance_zero(build, tiny_set, crops, monkeypatch):
    system, data = build().eval(), CocoHands(tiny_set)
    places = {
        tuple(joints.flatten().tolist()): image
        for joints, image in zip(system.joints_of(crops), crops.image, strict=True)
    }

    def perfect(self: SrvVae, joints: torch.Tensor, appearance: torch.Tensor) -> torch.Tensor:
        return torch.stack([places[tuple(joint.flatten().tolist())] for joint in joints])

    monkeypatch.setattr(SrvVae, "synthesize", perfect)
    found = {m.name: m.value for m in picture_measures(system, data, Thumbnails(), "unseen")}
    assert found["fd_thumb_unseen"] == pytest.approx(0, abs=1e-6)
    assert (found["precision_thumb_unseen"], found["recall_thumb_unseen"]) == (100, 100)


def test_both_sets_have_at_most_the_asked_number(build, tiny_set):
    extractor = Thumbnails()
    found = picture_measures(build().eval(), CocoHands(tiny_set), extractor, "unseen", most=30)
    assert {m.n for m in found} == {30}
    assert extractor.seen == 60


def test_a_hand_with_an_unlabelled_joint_is_in_neither_set(build, tiny_set, monkeypatch):
    data, labels = CocoHands(tiny_set), CocoHands.labels

    def partial(self: CocoHands, rows: torch.Tensor):
        hands = labels(self, rows)
        valid = hands.require("joint_valid")
        valid = valid.clone()
        valid[rows < 20, 3] = False
        return replace(hands, joint_valid=valid)

    monkeypatch.setattr(CocoHands, "labels", partial)
    assert {m.n for m in picture_measures(build().eval(), data, Thumbnails(), "seen")} == {28}


def test_a_split_of_a_few_hands_is_refused(build, tiny_set):
    with pytest.raises(UserError, match="16 hands of 16"):
        picture_measures(build().eval(), CocoHands(tiny_set, "test"), Thumbnails(), "unseen")


def test_the_mode_of_batch_normalisation_is_seen(build, tiny_config):
    system = build(replace(tiny_config, norm="batch"))
    assert batch_norm_mode(system.train()) == "train"
    assert batch_norm_mode(system.eval()) == "eval"
    assert batch_norm_mode(build()) == "none"


def test_renewed_statistics_are_those_of_generated_pictures_and_only_of_these(build, tiny_config, tiny_set):
    system, met = build(replace(tiny_config, norm="batch")).eval(), []
    first = next(module for module in system.decoder.modules() if isinstance(module, torch.nn.BatchNorm2d))
    last = {name: value.clone() for name, value in system.trunk.state_dict().items()}
    first.register_forward_pre_hook(lambda module, given: met.append(given[0]))
    renew_statistics(system, CocoHands(tiny_set), 3)
    inputs = torch.stack(met)  # three batches of 64
    assert inputs.shape[:2] == (3, 64)
    torch.testing.assert_close(first.running_mean, inputs.mean((1, 3, 4)).mean(0), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        first.running_var, inputs.transpose(1, 2).flatten(2).var(2).mean(0), rtol=1e-3, atol=1e-6
    )
    assert all(torch.equal(value, system.trunk.state_dict()[name]) for name, value in last.items())
    assert not any(module.training for module in system.modules())
    assert batch_norm_mode(system) == "eval, renewed"


def test_the_command_renews_statistics_and_says_so(
    handvae, refused, build, tiny_config, tiny_model, tiny_set, tmp_path
):
    save_model(tmp_path / "batch.safetensors", build(replace(tiny_config, norm="batch")))
    words = ("evaluate", tmp_path / "batch.safetensors", tiny_set, "--split", "None", "--metrics", "sets")
    found = []
    for batches in (0, 2):
        code, _, error = handvae(*words, "--renew-statistics", batches, "--report", tmp_path / str(batches))
        assert code == 0, error
        found.append((tmp_path / str(batches) / "report.json").read_text())
    assert ["batch norm eval, renewed" in text for text in found] == [False, True]
    assert "no batch normalisation" in refused("evaluate", tiny_model, tiny_set, "--renew-statistics", 2)
    assert "give 0 to" in refused(*words, "--renew-statistics", -1)
    assert "makes no pictures" in refused("evaluate", "lifting", tiny_set, "--renew-statistics", 2)


@pytest.mark.parametrize(("options", "suffix", "n"), [((), "unseen", 48), (("--split", "train"), "seen", 32)])
def test_the_command_compares_sets_in_the_space_of_hands(
    handvae, tiny_model, tiny_set, tmp_path, options, suffix, n
):
    chosen = options or ("--split", "None")
    code, _, error = handvae(
        "evaluate", tiny_model, tiny_set, *chosen, "--metrics", "sets", "--report", tmp_path
    )
    assert code == 0, error
    said = (tmp_path / "report.json").read_text()
    assert f'"fd_hand_{suffix}"' in said
    assert '"fid_' not in said
    assert f'"n": {n}' in said


def test_the_command_refuses_sets_that_are_too_small(refused, tiny_model, tiny_set):
    assert "fewer than 20 hands" in refused(
        "evaluate", tiny_model, tiny_set, "--split", "test", "--metrics", "sets"
    )


def test_the_command_refuses_other_inception_weights(refused, tiny_model, tiny_set):
    assert "6726825d" in refused(
        "evaluate", tiny_model, tiny_set, "--metrics", "sets", "--inception-weights", tiny_model
    )


def test_only_inceptions_distances_are_called_fid(tiny_model, monkeypatch):
    assert Thumbnails().distances == ("fd_thumb", "kd_thumb")
    assert HandFeatures(tiny_model).distances == ("fd_hand", "kd_hand")
    monkeypatch.setattr("handvae.evaluation.features.load_inception", lambda weights: None)
    assert InceptionFeatures(tiny_model).distances == ("fid", "kid")
