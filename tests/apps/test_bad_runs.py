"""Runs that cannot be begun or continued: one line, exit code 2, the folder as it was."""

from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from handvae.training.distributed import Ranks


@pytest.fixture
def training(tiny_set, tiny_flags, tmp_path):
    """The words of a two-step training run into tmp_path / run."""
    return [
        "train",
        "photos-64",
        "--data.root",
        tiny_set,
        "--out",
        tmp_path / "run",
        *tiny_flags,
        "--train.steps",
        "2",
    ]


@pytest.fixture
def finished(training, handvae, tmp_path):
    """A finished run."""
    assert handvae(*training)[0] == 0
    return tmp_path / "run"


def test_a_run_is_not_begun_where_one_is(finished, training, refused):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    line = refused(*training)
    assert "already holds a run" in line
    assert "--resume" in line
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_run_is_not_begun_in_a_folder_of_other_things(training, refused, tmp_path):
    """A config.json of another program would be lost."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("mine")
    assert "no run" in refused(*training)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]
    assert (tmp_path / "run" / "config.json").read_text() == "mine"


def test_a_run_that_was_killed_before_its_first_save_begins_anew(finished, training, handvae):
    (finished / "state.pt").unlink()
    assert handvae(*training)[0] == 0
    assert (finished / "state.pt").is_file()


def test_a_run_is_not_resumed_with_other_options(finished, training, refused):
    line = refused(*training, "--resume", "--train.lr", "0.5", "--augment.blur", "0.5")
    assert "augment.blur, train.lr" in line
    assert "config.json" in line


def test_a_run_of_another_preset_is_not_resumed(finished, training, refused):
    assert "preset" in refused("train", "s-vae-2d", *training[2:], "--resume")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"preset": 3}'])
def test_a_run_whose_options_cannot_be_read_is_not_resumed(content, finished, training, refused):
    (finished / "config.json").write_text(content)
    assert "config.json" in refused(*training, "--resume")


@pytest.mark.parametrize("content", [b"", b"no state", b"\x80\x04."], ids=["empty", "text", "pickle"])
def test_a_state_that_cannot_be_read_is_not_resumed(content, finished, training, refused):
    (finished / "state.pt").write_bytes(content)
    line = refused(*training, "--resume")
    assert "state.pt" in line
    assert "another --out" in line


def test_a_truncated_state_is_not_resumed(finished, training, refused):
    content = (finished / "state.pt").read_bytes()
    (finished / "state.pt").write_bytes(content[: len(content) // 2])
    assert "state.pt" in refused(*training, "--resume")


@pytest.mark.parametrize("state", [{}, [], {"step": 2}, {"step": 2, "system": 3}], ids=repr)
def test_a_state_of_another_program_is_not_resumed(state, finished, training, refused):
    torch.save(state, finished / "state.pt")
    assert "state.pt" in refused(*training, "--resume")


def test_a_finished_run_resumes_to_itself(finished, training, handvae):
    before = load_file(finished / "model.safetensors")
    assert handvae(*training, "--resume")[0] == 0
    after = load_file(finished / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_batch_that_does_not_divide_over_the_processes_is_refused(training, refused, monkeypatch, tmp_path):
    @contextmanager
    def three(device=None):
        yield Ranks(0, 3)

    monkeypatch.setattr("handvae.apps.train_run.ranks", three)
    line = refused(*training)
    assert "--train.batch" in line
    assert "8 does not divide over 3" in line
    assert not (tmp_path / "run").exists()
