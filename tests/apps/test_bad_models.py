"""Model files that are truncated, foreign, damaged or hostile."""

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


@pytest.fixture
def header(tiny_model):
    with safe_open(tiny_model, "pt") as file:
        return json.loads(file.metadata()["handvae"])


@pytest.fixture
def refused_model(refused, tiny_set, tmp_path):
    """Asks the model at this path for an estimate, which must be refused; returns the line."""

    def run(path: Path) -> str:
        line = refused(
            "estimate", tiny_set / "images" / "000.png", "--model", path, "--out", tmp_path / "out"
        )
        assert str(path) in line
        assert not (tmp_path / "out").exists()
        return line

    return run


@pytest.fixture
def altered(tiny_model, header, tmp_path):
    """Writes the tiny model with another header or other tensors; returns its path."""

    def make(header: object = header, text: str | None = None, **tensors: torch.Tensor | None) -> Path:
        kept = {name: value for name, value in (load_file(tiny_model) | tensors).items() if value is not None}
        path = tmp_path / "altered.safetensors"
        save_file(kept, path, metadata={"handvae": text or json.dumps(header)})
        return path

    return make


def test_the_unaltered_copy_is_read(altered, handvae, tiny_set, tmp_path):
    """Else every refusal below could have another cause."""
    code, _, error = handvae(
        "estimate", tiny_set / "images" / "000.png", "--model", altered(), "--out", tmp_path / "out"
    )
    assert code == 0, error


# --------------------------------------------------------------------------------------------- files, as such


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_model_is_refused(share, tiny_model, refused_model, tmp_path):
    content = tiny_model.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or not a safetensors file" in refused_model(path)


def test_a_header_longer_than_the_file_is_refused(refused_model, tmp_path):
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert "damaged" in refused_model(path)


def test_a_safetensors_file_of_another_program_is_refused(refused_model, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    assert "no handvae header" in refused_model(path)


class Calls:
    """Unpickled, it makes a file: what a hostile checkpoint would do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_pickle_is_refused_and_never_called(suffix, refused_model, tmp_path):
    path, mark = tmp_path / f"model{suffix}", tmp_path / "called"
    path.write_bytes(pickle.dumps(Calls(mark)))
    refused_model(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the trap works
    assert mark.exists()


def test_a_torch_checkpoint_is_refused_and_never_called(refused_model, tmp_path):
    path, mark = tmp_path / "model.safetensors", tmp_path / "called"
    torch.save({"system": Calls(mark)}, path)
    refused_model(path)
    assert not mark.exists()


def test_a_name_that_is_no_model_lists_the_shipped_ones(refused, tiny_set, tmp_path):
    line = refused(
        "estimate", tiny_set / "images" / "000.png", "--model", "photos-46", "--out", tmp_path / "out"
    )
    assert "photos-46: no such model" in line
    assert "shipped" in line


def test_a_folder_without_a_model_is_refused(refused_model, tmp_path):
    (tmp_path / "run").mkdir()
    assert "no such model" in refused_model(tmp_path / "run")


# -------------------------------------------------------------------------------------------- ------- headers

HEADERS = {
    "unknown system": (lambda h: h.update(system="gan"), ["system 'gan'", "srv_vae"]),
    "format of the future": (lambda h: h.update(format=2), ["format 2", "reads format 1"]),
    "unknown field": (lambda h: h.update(licence="mine"), ["header"]),
    "missing field": (lambda h: h.pop("crop"), ["header"]),
    "unknown option": (lambda h: h["config"].update(limb_widht=0.1), ["limb_widht"]),
    "unknown choice": (lambda h: h["config"].update(pose="4d"), ["pose", "'2d' or '3d'"]),
    "word for a number": (lambda h: h["config"].update(limb_width="thin"), ["limb_width", "number"]),
    "number for a list": (lambda h: h["config"].update(encoder_widths=8), ["encoder_widths"]),
    "options that exclude each other": (lambda h: h["config"].update(pose="3d"), ["pose='2d'"]),
    "crop that cannot be halved": (lambda h: h["crop"].update(size_px=50), ["50 px"]),
    "no layers": (lambda h: h["config"].update(encoder_widths=[]), ["config"]),
    "negative width": (lambda h: h["config"].update(decoder_widths=[16, -16, 8, 8]), ["config"]),
    "terabytes": (lambda h: h["config"].update(appearance_dims=10**11), ["altered.safetensors"]),
    "more than any machine": (lambda h: h["config"].update(decoder_widths=[10**12] * 4), ["altered.safetensors"]),
    "other joints": (lambda h: h["spec"].update(joints=20), ["altered.safetensors"]),
    "wider layers": (lambda h: h["config"].update(decoder_widths=[16, 16, 8, 16]), ["decoder", "the header asks for"]),
    "another head": (lambda h: h["config"].update(pose_head="linear"), ["missing", "unknown"]),
}  # fmt: skip


def scale(**changes: object) -> dict[str, object]:
    return {"factor": [1.0, 1.0], "floor": [0.0, 0.0], "fitted_on": "hands"} | changes


SCALES = {
    "infinite": ({"image": scale(factor=[1e400, 1.0])}, "a factor and a floor"),
    "negative": ({"image": scale(floor=[0.0, -0.1])}, "a factor and a floor"),
    "huge": ({"image": scale(factor=[1e30, 1.0])}, "a factor and a floor"),
    "unequal": ({"image": scale(floor=[0.0])}, "a factor and a floor"),
    "three axes": ({"image": scale(factor=[1.0] * 3, floor=[0.0] * 3)}, "has 3 axes, poses have 2"),
    "no axis": ({"image": scale(factor=[], floor=[])}, "has 0 axes"),
    "a word": ({"image": scale(factor=["wide", 1.0])}, "image.factor.0: Input should be a valid number"),
    "half": ({"image": {"factor": [1.0, 1.0]}}, "image.floor: Field required"),
    "unknown field": ({"image": scale(colour="red")}, "unknown field colour"),
    "other input": ({"depth": scale()}, "one for 'depth'"),
    "no input": ({"": scale()}, "one for ''"),
    "of nothing": ({"image": scale(fitted_on="")}, "on which hands"),
    "many lines": ({"image": scale(fitted_on="one\ntwo")}, "one line"),
}  # fmt: skip


@pytest.mark.parametrize("fault", SCALES)
def test_a_scale_of_spread_that_cannot_be_one_is_named(fault, header, altered, refused_model):
    kept, words = SCALES[fault]
    header["spread_scales"] = kept
    line = refused_model(altered(text=json.dumps(header).replace("Infinity", "1e400")))
    assert "header field spread_scales" in line
    assert words in line


@pytest.mark.parametrize(
    "kept",
    [[], {"image": [1.0, 1.0]}, {"image": scale(factor=[float("nan"), 1.0])}],
    ids=["list", "numbers", "NaN"],
)
def test_scales_of_spread_of_another_form_are_a_damaged_header(kept, header, altered, refused_model):
    header["spread_scales"] = kept
    assert "header is damaged" in refused_model(altered(header))


def test_a_model_from_before_scales_of_spread_were_kept_is_read(header, altered, handvae, tiny_set, tmp_path):
    assert header.pop("spread_scales") == {}
    code, _, error = handvae(
        "estimate", tiny_set / "images" / "000.png", "--model", altered(header), "--out", tmp_path / "out"
    )
    assert code == 0, error
    assert "not calibrated" in (tmp_path / "out" / "estimate.json").read_text()


@pytest.mark.parametrize("fault", HEADERS)
def test_a_header_that_cannot_be_followed_is_named(fault, header, altered, refused_model):
    spoil, words = HEADERS[fault]
    spoil(header)
    line = refused_model(altered(header))
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        "null",
        '"srv_vae"',
        '{"system": ' * 200_000,
        '{"system": "x", "config": {"a": NaN}, "spec": {}, "crop": {}}',
    ],
    ids=["cut off", "list", "null", "string", "nested without end", "NaN"],
)
def test_a_damaged_header_is_refused(text, altered, refused_model):
    assert "header is damaged" in refused_model(altered(text=text))


# -------------------------------------------------------------------------------------------- ------- tensors


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, altered, refused_model):
    line = refused_model(altered(pose_mean=torch.full((42,), value)))
    assert "tensor pose_mean" in line
    assert "NaN" in line


def test_a_tensor_of_another_shape_is_named(altered, refused_model):
    line = refused_model(altered(pose_mean=torch.zeros(41)))
    assert "tensor pose_mean is (41,)" in line
    assert "(42,)" in line


def test_a_missing_tensor_is_named(altered, refused_model):
    assert "pose_std" in refused_model(altered(pose_std=None))


def test_an_extra_tensor_is_named(altered, refused_model):
    assert "surplus" in refused_model(altered(surplus=torch.zeros(2)))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_weights_of_another_kind_are_refused(dtype, altered, refused_model):
    assert "tensor pose_mean" in refused_model(altered(pose_mean=torch.zeros(42, dtype=dtype)))
