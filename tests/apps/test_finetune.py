"""`handvae train --init`: a run that begins with a model's weights."""

import json

import pytest
from safetensors.torch import load_file, save_file

from handvae.training.checkpoint import load_model


@pytest.fixture
def words(tiny_set, tiny_flags, tmp_path):
    """`train photos-64` on the drawn hands for two steps that hardly move."""
    flags = [
        *tiny_flags,
        "--train.steps",
        "2",
        "--train.lr",
        "1e-9",
        "--train.weight-decay",
        "0",
        "--train.ema",
        "0",
    ]
    return ["train", "photos-64", "--data.root", tiny_set, "--out", tmp_path / "run", *flags]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_set, tiny_flags):
    """A model of the flags' own networks, from a run of one step."""
    from handvae.apps.cli import main

    out = tmp_path_factory.mktemp("first") / "run"
    words = [
        "train",
        "photos-64",
        "--data.root",
        tiny_set,
        "--data.split",
        "test",
        "--out",
        out,
        *tiny_flags,
        "--train.steps",
        "1",
    ]
    assert main([str(word) for word in words]) == 0
    return out


def test_a_run_begins_with_the_models_weights_and_the_constants_they_rely_on(
    handvae, words, trained, tmp_path
):
    code, _, error = handvae(*words, "--init", trained)
    assert code == 0, error
    before, after = (
        load_file(trained / "model.safetensors"),
        load_file(tmp_path / "run" / "model.safetensors"),
    )
    assert before.keys() == after.keys()
    learned = [name for name, _ in load_model(trained).system.named_parameters()] + ["pose_mean", "pose_std"]
    assert max(float((before[name] - after[name]).abs().max()) for name in learned) < 1e-6
    assert json.loads((tmp_path / "run" / "config.json").read_text())["init"] == str(
        trained / "model.safetensors"
    )


def test_without_it_the_weights_are_others(handvae, words, trained, tmp_path):
    assert handvae(*words)[0] == 0
    before, after = (
        load_file(trained / "model.safetensors"),
        load_file(tmp_path / "run" / "model.safetensors"),
    )
    assert float((before["pose_mean"] - after["pose_mean"]).abs().max()) > 1e-4


def test_a_run_with_init_resumes_with_init_alone(handvae, refused, words, trained):
    assert handvae(*words, "--init", trained, "--train.stop-at", "1")[0] == 0
    assert "other options (init, " in refused(*words, "--resume")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--system.appearance-dims", "6"], "its network is another one: appearance_dims 4 (here 6)"),
        (["--crop.size-px", "64"], "reads crops of 32 px, not of 64; set --crop.size-px 32"),
    ],
    ids=["network", "crop"],
)
def test_a_model_of_another_network_is_refused_before_anything_is_written(
    refused, words, trained, tmp_path, flags, complaint
):
    words = (
        [word for word in words if word not in {"--crop.size-px", "32"}]
        if "--crop.size-px" in flags
        else words
    )
    assert complaint in refused(*words, "--init", trained, *flags)
    assert not (tmp_path / "run").exists()


def test_a_model_of_another_kind_is_refused(refused, tiny_set, trained, tmp_path):
    words = ["train", "detector-64", "--data.root", tiny_set, "--out", tmp_path / "run"]
    assert "is a perceptual_vae, not a detector; give --init a model of that kind" in refused(
        *words, "--init", trained
    )


def test_a_spoilt_model_is_refused(refused, words, trained, tmp_path):
    tensors = load_file(trained / "model.safetensors")
    save_file(tensors, tmp_path / "bare.safetensors")
    assert "holds no handvae header" in refused(*words, "--init", tmp_path / "bare.safetensors")
