"""Models on disk: what is written is read again."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from handvae.noise import Noise
from handvae.training.checkpoint import WEIGHTS, find_model, load_model, save_model


def header(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["handvae"])


def test_a_model_comes_back_bit_for_bit(build, crops, tmp_path):
    system = build().eval()
    system.summarise([crops])
    save_model(tmp_path / "m.safetensors", system)
    again = load_model(tmp_path / "m.safetensors").system
    assert again.config == system.config
    assert again.spec == system.spec
    assert again.crop == system.crop
    assert again.state_dict().keys() == system.state_dict().keys()
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in system.state_dict().items())
    appearances = Noise(0).normal(3, 4)
    joints = system.joints_of(crops[:3])
    torch.testing.assert_close(
        again.synthesize(joints, appearances), system.synthesize(joints, appearances), rtol=0, atol=1e-5
    )


def test_a_model_in_half_precision_is_half_as_large_and_reads_as_float32(build, crops, tmp_path):
    system = build().eval()
    save_model(tmp_path / "whole.safetensors", system)
    save_model(tmp_path / "half.safetensors", system, dtype=torch.float16)
    assert {value.dtype for value in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    sizes = {name: (tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half")}
    assert sizes["half"] < 0.7 * sizes["whole"]
    again = load_model(tmp_path / "half.safetensors").system
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    joints, appearances = system.joints_of(crops[:3]), Noise(0).normal(3, 4)
    torch.testing.assert_close(
        again.synthesize(joints, appearances), system.synthesize(joints, appearances), rtol=0, atol=0.02
    )


def test_counters_stay_whole_numbers_in_half_precision(build, tiny_config, tmp_path):
    from dataclasses import replace

    system = build(replace(tiny_config, norm="batch"))
    save_model(tmp_path / "m.safetensors", system, dtype=torch.float16)
    kinds = {name: value.dtype for name, value in load_file(tmp_path / "m.safetensors").items()}
    counters = {kind for name, kind in kinds.items() if name.endswith("num_batches_tracked")}
    assert counters == {torch.int64}


def test_other_weights_than_the_systems_own_can_be_written(build, tmp_path):
    system, averaged = build(), build(seed=1)
    save_model(tmp_path / "m.safetensors", system, state=averaged.state_dict())
    again = load_model(tmp_path / "m.safetensors").system
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in averaged.state_dict().items())


def test_the_header_says_where_a_model_comes_from(build, tmp_path):
    save_model(
        tmp_path / "m.safetensors",
        build(),
        steps=123,
        preset="photos-64",
        summary={"appearance_spread_mean": 0.9},
    )
    said = header(tmp_path / "m.safetensors")
    assert (said["system"], said["steps"], said["preset"]) == ("srv_vae", 123, "photos-64")
    assert said["summary"] == {"appearance_spread_mean": 0.9}
    assert load_model(tmp_path / "m.safetensors").header.steps == 123


def test_a_summary_over_no_hand_does_not_spoil_the_model(build, tmp_path):
    summary = {"training_chamfer": float("nan"), "training_error": 0.5}
    save_model(tmp_path / "m.safetensors", build(), summary=summary)
    assert load_model(tmp_path / "m.safetensors").header.summary == {"training_error": 0.5}


def test_a_read_model_is_at_rest(tiny_model):
    system = load_model(tiny_model).system
    assert not system.training
    assert not any(p.requires_grad for p in system.parameters())


def test_a_save_that_fails_leaves_the_old_model(build, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(path, build())
    before = path.read_bytes()

    def full(tensors, beside, metadata):
        beside.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("handvae.training.checkpoint.save_file", full)
    with pytest.raises(OSError, match="disk full"):
        save_model(path, build(seed=1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_model_is_found_by_file_and_by_run_folder(tiny_model, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(tiny_model.read_bytes())
    assert find_model(str(tiny_model)) == tiny_model
    assert find_model(str(tmp_path)) == tmp_path / "model.safetensors"


def test_every_shipped_model_is_small_and_can_be_read():
    shipped = sorted(WEIGHTS.glob("*.safetensors"))
    if not shipped:
        pytest.skip("no model is shipped yet")
    for path in shipped:
        assert path.stat().st_size <= 12_000_000
        assert path.with_suffix(".md").is_file(), "a model card"
        assert load_model(path.stem).name == path.stem
