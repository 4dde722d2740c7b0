"""Partial downloads: one policy for every layout that `open_data` knows."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from handvae.data.left_out import strict
from handvae.data.missing import missing_files
from handvae.data.open import LAYOUTS, WITHOUT_FILES, open_data, reader_of
from handvae.errors import DataWarning, UserError

NAMES = [name for name in LAYOUTS if name not in WITHOUT_FILES]


def lose(path: str, how: str) -> None:
    os.unlink(path)
    match how:
        case "empty":
            Path(path).touch()
        case "folder":
            Path(path).mkdir()
        case "pipe":
            os.mkfifo(path)


def read(data, row: int) -> None:
    data.labels(torch.tensor([row]))
    data.picture(row) if "image" in data.spec.modalities else data.depth(row)


@pytest.mark.parametrize("how", ["absent", "empty", "folder", "pipe"])
@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_counted_named_and_left_out(name, how, whole, tmp_path):
    if (name, how) == ("msra", "empty"):
        pytest.skip("its authors publish empty files: these are left out without a warning")
    root = tmp_path / "set"
    shutil.copytree(whole(name), root)
    before = reader_of(root)
    shown = Counter(files[0] for files in before.files())
    lost = min(shown, key=lambda path: shown[path])
    lose(lost, how)

    with pytest.warns(DataWarning, match=rf"missing or empty \(.*{Path(lost).stem}\."):
        data = open_data(root)

    assert len(data) == data.spec.count == len(before) - shown[lost]
    assert not any(lost in files for files in data.files())
    assert data.left_out[-1] in data.remarks
    for row in range(0, len(data), 7):
        read(data, row)
    read(data, len(data) - 1)

    with strict(), pytest.raises(UserError, match=Path(lost).stem):
        open_data(root)


@pytest.mark.parametrize("name", NAMES)
def test_more_than_a_tenth_is_refused_with_the_first_three_names(name, whole, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(whole(name), root)
    files = list(dict.fromkeys(files[0] for files in reader_of(root).files()))
    # not the first: readers look at it to tell a version or a suffix
    lost = files[1::3]
    for path in lost:
        os.unlink(path)

    with pytest.raises(UserError) as raised:
        open_data(root)

    assert "missing or empty" in raised.value.fault
    assert f"{len(lost)} " in raised.value.fault
    assert all(Path(path).stem in raised.value.fault for path in lost[:3])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_file_is_left_out_as_any_other(name, whole, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(whole(name), root)
    lost = next(iter(reader_of(root).files()))[0]
    os.unlink(lost)
    with pytest.warns(DataWarning, match=Path(lost).stem):
        open_data(root)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_set_opens_without_a_word(name, whole):
    data = open_data(whole(name))
    assert not list(missing_files(data))
    assert not data.left_out
    assert (name not in NAMES) == (not list(data.files()))


def test_one_gesture_of_msra_without_labels_is_left_out(own_copy):
    root, _ = own_copy("msra")
    (root / "P4" / "I" / "joint.txt").unlink()
    with pytest.warns(DataWarning, match=r"1 of 153 files of labels is missing or empty \(P4/I/joint.txt\)"):
        data = open_data(root)
    assert len(data) == 2 * 152 - 1


def test_parts_of_an_rhd_row_are_looked_for_too(own_copy):
    root, _ = own_copy("rhd", count=8)
    (root / "training" / "mask" / "00003.png").unlink()
    with pytest.warns(DataWarning, match=r"training/mask/00003\.png"):
        assert len(open_data(root)) == 15
