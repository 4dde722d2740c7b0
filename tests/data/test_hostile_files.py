"""What stands in place of a label file: a pipe, a folder, nothing, a byte-order mark. All layouts."""

import os
import shutil
import signal
import warnings
from codecs import BOM_UTF8
from pathlib import Path

import pytest
import torch

from handvae.data.files.depth import is_plane
from handvae.data.files.pictures import read_picture
from handvae.data.open import LAYOUTS, open_data
from handvae.errors import DataWarning, UserError
from handvae.files import MANIFEST

TEXTS = {".json", ".txt", ".yaml"}
OTHERS = {".mat", ".pickle", ".parquet", ".tar"}
SECONDS = 20


@pytest.fixture(autouse=True)
def hanging_fails():
    """A read that waits for ever is a failure, not a hanging test."""

    def stop(*_):
        raise TimeoutError(f"nothing has happened for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def label_files(root: Path, suffixes: set[str]) -> list[str]:
    """Names of the files that hold labels, the first and the last of each suffix."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in suffixes)
    # STB's other camera is another protocol
    names = [name for name in names if not name.endswith("_SK.mat") and not name.endswith(MANIFEST)]
    chosen = []
    for suffix in sorted(suffixes):
        of_suffix = [name for name in names if name.endswith(suffix)]
        chosen += {*of_suffix[:1], *of_suffix[-1:]}
    return sorted(chosen)


@pytest.mark.parametrize("harm", ["pipe", "folder", "empty"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_label_file_that_is_none_is_refused_in_one_line_or_left_out(name, harm, whole, tmp_path):
    files = label_files(whole(name), TEXTS | OTHERS)
    if (name, harm) == ("yolo-pose", "empty"):
        files = ["data.yaml"]  # an empty text file says that the picture shows no hand
    assert files
    for number, file in enumerate(files):
        root = tmp_path / f"{number}"
        shutil.copytree(whole(name), root)
        (root / file).unlink()
        match harm:
            case "pipe":
                os.mkfifo(root / file)
            case "folder":
                (root / file).mkdir()
            case "empty":
                (root / file).touch()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            refusal = ""
            try:
                open_data(root)
            except UserError as error:
                refusal = str(error)

        # a set of many label files goes on without one
        warned = any(issubclass(warning.category, DataWarning) for warning in caught)
        assert "\n" not in refusal
        assert refusal or warned, file


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_byte_order_mark_changes_nothing(name, whole, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(whole(name), root)
    expected = open_data(whole(name))
    for path in root.rglob("*"):
        if path.suffix in TEXTS:
            path.write_bytes(BOM_UTF8 + path.read_bytes())

    data = open_data(root)
    assert len(data) == len(expected)
    rows = torch.arange(min(3, len(data)))
    assert torch.equal(data.labels(rows).joints_2d, expected.labels(rows).joints_2d)


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match="is no regular file"):
        read_picture(tmp_path / "a.png")
    assert not is_plane(tmp_path / "a.png")


@pytest.mark.parametrize("command", [("data", "check"), ("data", "info"), ("estimate",), ("data", "label")])
def test_no_command_waits_for_a_pipe(command, tiny_set, tmp_path, handvae):
    root = tmp_path / "set"
    shutil.copytree(tiny_set, root)
    picture = sorted(root.rglob("*.png"))[0]
    picture.unlink()
    os.mkfifo(picture)
    given = root if command[0] == "data" and command[1] != "label" else picture
    out = () if command in (("data", "check"), ("data", "info")) else ("--out", tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        code, _, error = handvae(*command, given, *out)
    assert code in (0, 2)
    assert "Traceback" not in error
