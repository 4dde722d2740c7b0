"""`handvae export`: files that answer as the model does, and say what they take."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.apps.cli import main
from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.hand import LEFT, RIGHT
from handvae.inference import export as graphs
from handvae.inference.estimate import estimate
from handvae.inference.samples import sample_photos
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.noise import Noise
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.training.checkpoint import load_model, save_model

close = torch.testing.assert_close


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Exports a model; returns the folder."""

    def run(model: Path, *words: str) -> Path:
        folder = tmp_path_factory.mktemp("export") / model.stem
        assert main(["export", str(model), "--out", str(folder), *words]) == 0
        return folder

    return run


@pytest.fixture(scope="module")
def files(export, tiny_model) -> Path:
    """The tiny generator for PyTorch, two hands at once."""
    return export(tiny_model, "--to", "pt2", "--batch", "2")


@pytest.fixture(scope="module")
def onnx_files(export, tiny_model) -> Path:
    """The tiny generator for ONNX."""
    pytest.importorskip("onnxscript")
    return export(tiny_model)


def run_pt2(path: Path, *inputs: torch.Tensor):
    return torch.export.load(path).module()(*inputs)


def run_onnx(path: Path, **inputs: torch.Tensor) -> list[torch.Tensor]:
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    return [
        torch.as_tensor(value)
        for value in session.run(None, {name: value.numpy() for name, value in inputs.items()})
    ]


def test_a_generators_files_read_and_make_what_the_model_does(files, tiny_model):
    system = load_model(tiny_model).generator
    crops, joints = Noise(5).uniform(2, 3, 32, 32), Noise(6).uniform(2, 21, 2, low=-1)
    read, spread = run_pt2(files / "read_image.pt2", crops)
    appearances = run_pt2(files / "read_appearance.pt2", crops)
    close(read, system.predict_uncalibrated(Hands(image=crops)).joints)
    close(spread, system.predict_uncalibrated(Hands(image=crops)).spread)
    close(appearances, system.appearance_of(crops))
    close(run_pt2(files / "synthesize.pt2", joints, appearances), system.synthesize(joints, appearances))


@pytest.fixture
def lifter(tmp_path) -> Path:
    """A cm-VAE that reads 2D joints, is told the side, and draws samples for the spread."""
    spec = DataSpec("any", 1, 32, ("joints_2d", "joints_3d", "joint_valid", "side"), "both")
    torch.manual_seed(0)
    save_model(
        tmp_path / "lifter.safetensors",
        CmVae(CmVaeConfig(variant=1, input="2d", latent_dims=6, hidden=32), spec, Crop(32)),
    )
    return tmp_path / "lifter.safetensors"


def test_a_file_gives_the_models_spread_at_every_call(export, lifter):
    folder, system = export(lifter, "--to", "pt2", "--batch", "2"), load_model(lifter).pose_estimator
    side, known = torch.tensor([LEFT, RIGHT]), torch.ones(2, 21, dtype=torch.bool)
    known[0, 3] = False
    flat = Noise(5).uniform(2, 21, 2, high=32)
    wanted = system.predict(Hands(joints_2d=flat, joint_valid=known, side=side), ("joints_2d",))
    for _ in range(2):
        close(run_pt2(folder / "read_joints_2d.pt2", flat, known, side), (wanted.joints, wanted.spread))


def test_a_model_has_a_part_for_each_of_its_inputs():
    spec = DataSpec("any", 1, 32, ("image", "depth", "joints_2d", "joints_3d", "joint_valid", "side"), "both")
    config = CmVaeConfig(variant=1, encoder=ResNetEncoder(8), hidden=32, more_pairs=("2d-3d", "depth-3d"))
    parts = {part.name: part for part in graphs.parts_of(CmVae(config, spec, Crop(32)).eval(), 2)}
    assert set(parts) == {"read_image", "read_depth", "read_joints_2d"}
    assert list(parts["read_joints_2d"].inputs) == ["joints_2d", "known", "side"]
    assert all(
        [tuple(answer.shape) for answer in part.module(*part.example)] == [(2, 21, 3)] * 2
        for part in parts.values()
    )


def test_an_onnx_file_makes_the_models_pictures_from_the_appearances_written_beside_it(
    onnx_files, tiny_model
):
    system = load_model(tiny_model).generator
    about = json.loads((onnx_files / "export.json").read_text())
    joints, appearances = Noise(6).uniform(1, 21, 2, low=-1), torch.tensor(about["random_appearances"][:1])
    (picture,) = run_onnx(onnx_files / "synthesize.onnx", joints=joints, appearance=appearances)
    close(picture, system.synthesize(joints, appearances), rtol=1e-4, atol=1e-5)
    close(appearances, system.random_appearance(64, Noise(0), "aggregate")[:1])


def test_the_description_names_files_shapes_and_units(files):
    about = json.loads((files / "export.json").read_text())
    assert set(about["files"]) == {"read_image.pt2", "read_appearance.pt2", "synthesize.pt2"}
    reading = about["files"]["read_image.pt2"]
    assert reading["inputs"]["image"] == {
        "shape": [2, 3, 32, 32],
        "type": "float32",
        "is": "RGB crops in [0, 1]",
    }
    assert "crop units" in reading["outputs"]["joints"]
    assert reading["largest_difference"] < 1e-4
    assert about["crop"]["margin"] == 1.35
    assert about["joint_names"][0] == "wrist"


def test_a_file_that_answers_otherwise_is_refused_and_nothing_is_left(
    refused, tiny_model, tmp_path, monkeypatch
):
    honest = graphs._as_pt2
    monkeypatch.setattr(graphs, "_as_pt2", lambda *given: tuple(value + 0.01 for value in honest(*given)))
    line = refused("export", tiny_model, "--to", "pt2", "--out", tmp_path / "out")
    assert "read_image.pt2" in line
    assert "differ from the model's by 0.01" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch", ["0", "-1", "many"])
def test_a_batch_that_is_none_is_refused(batch, refused, tiny_model, tmp_path):
    assert "--batch" in refused(
        "export", tiny_model, "--to", "pt2", "--out", tmp_path / "out", "--batch", batch
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_kept(refused, handvae, tiny_model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert "--overwrite" in refused("export", tiny_model, "--to", "pt2", "--out", out)
    code, _, error = handvae("export", tiny_model, "--to", "pt2", "--out", out, "--overwrite")
    assert code == 0
    assert "out.old" in error
    assert (tmp_path / "out.old" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("missing", ["onnxscript", "onnxruntime"])
def test_onnx_without_its_packages_says_how_to_get_them(missing, refused, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    line = refused("export", tiny_model, "--out", tmp_path / "out")
    assert missing in line or "onnx" in line
    assert "handvae[export]" in line


def test_the_program_of_the_page_makes_a_picture(onnx_files, project, monkeypatch):
    monkeypatch.chdir(onnx_files)
    (block,) = re.findall(
        r"```python\n(.*?)```", (project / "docs" / "export.md").read_text(), flags=re.DOTALL
    )
    names: dict[str, object] = {}
    exec(compile(block, "docs/export.md", "exec"), names)
    picture = names["picture"]
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (32, 32, 3)
    assert picture.std() > 1


def test_the_program_that_reads_photos_finds_what_estimate_finds(handvae, project, tmp_path):
    """With ONNX Runtime, NumPy and OpenCV alone, in a process of its own."""
    pytest.importorskip("onnxruntime")
    folders = []
    for name in ("finder-256", "reader-128"):
        folders.append(tmp_path / name)
        code, _, error = handvae("export", name, "--out", folders[-1])
        assert code == 0, error

    photo = sample_photos()[0]
    program = [sys.executable, str(project / "docs" / "read_photo.py"), *map(str, folders), str(photo)]
    run = subprocess.run(program, capture_output=True, text=True, check=True)
    read = [json.loads(line) for line in run.stdout.splitlines()]
    hands = estimate(photo)
    assert [hand["hand_side"] for hand in read] == [hand.side for hand in hands] == ["right"]
    joints = np.array(read[0]["joints"])
    assert np.abs(joints[:, :2] - hands[0].joints_2d).max() < 0.5  # px of 100
    assert np.abs(joints[:, 2] - hands[0].joints_3d[:, 2]).max() < 0.02
    assert read[0]["score"] == pytest.approx(hands[0].score, abs=0.01)
    assert "torch" not in (project / "docs" / "read_photo.py").read_text()
