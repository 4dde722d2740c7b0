"""docs/own_photos.md: its three commands, run as they stand there, in miniature."""

import re
import shlex
import warnings
from pathlib import Path

import pytest
import torch

from handvae.data.labelling import label as labelling
from handvae.data.open import open_data
from handvae.errors import DataWarning
from handvae.training.checkpoint import load_model

PAGE = Path(__file__).parents[2] / "docs" / "own_photos.md"


@pytest.fixture
def commands() -> list[list[str]]:
    """The words of the page's first block, `handvae` not included."""
    block = re.search(r"```\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    return [shlex.split(line)[1:] for line in block[1].splitlines()]


def test_the_three_commands_label_check_and_train(
    handvae, commands, tiny_set, tiny_model, tiny_flags, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(labelling, "SAME_HAND", 99.0)  # a model without training disagrees with itself
    Path("my_photos").mkdir()
    for number in range(6):
        name = f"{number:03d}.png"
        Path("my_photos", name).write_bytes((tiny_set / "images" / name).read_bytes())
    assert [words[:2] for words in commands] == [["data", "label"], ["data", "check"], ["train", "photos-64"]]
    label, check, train = commands
    code, said, error = handvae(*label, "--model", tiny_model, "--most-spread", "9")
    assert code == 0, error
    assert "6 hands from 6 pictures" in said
    code, said, error = handvae(*check)
    assert code == 0, error
    assert "no fault" in said
    first = [
        "train",
        "photos-64",
        "--data.root",
        tiny_set,
        "--out",
        "first",
        *tiny_flags,
        "--train.steps",
        "1",
    ]
    assert handvae(*first)[0] == 0
    train[train.index("--init") + 1] = "first"
    code, said, error = handvae(*train, *tiny_flags, "--train.steps", "2")
    assert code == 0, error
    before, after = (dict(load_model(path).system.named_parameters()) for path in ("first", "out/mine"))
    moved = max(float((before[name] - after[name]).detach().abs().max()) for name in before)
    assert 0 < moved < 0.01  # two small steps from the model that it began with
    with warnings.catch_warnings():
        # the labeller has learned nothing: its joints look like those of another order
        warnings.simplefilter("ignore", DataWarning)
        assert len(open_data(Path("my_set"), "train").labels(torch.arange(6))) == 6
