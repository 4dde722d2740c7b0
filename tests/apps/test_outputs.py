"""What every command that writes promises: one writer at a time, sources stay, nothing foreign is deleted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from handvae.data.export.folder import check_free, complete_folder
from handvae.data.files.pictures import write_picture
from handvae.errors import ResultWarning, UserError
from handvae.files import MANIFEST, add_to_manifest, holds_only_ours, only_writer, set_aside, write_manifest

# every command that writes, with what it is given; OUT is where it writes
COMMANDS = {
    "demo": "demo --out OUT",
    "synthesize": "synthesize --model MODEL --pose open --out OUT",
    "transfer": "transfer PHOTO PHOTO --model MODEL --out OUT.png",
    "walk": "walk open fist --model MODEL --out OUT.gif",
    "estimate": "estimate PHOTO --out OUT",
    "render": "render -n 4 --size 16 --out OUT",
    "render sheet": "render --pose open --out OUT.png",
    "models": "models --sheet OUT.png",
    "poses": "poses --sheet OUT.png",
    "data info": "data info SET --out OUT.png",
    "data convert": "data convert SET OUT",
    "data label": "data label PHOTOS --out OUT",
    "upsample": "upsample SET --model MODEL --out OUT",
    "train": "train photos-64 --data.root SET --out OUT",
    "evaluate": "evaluate MODEL SET --report OUT",
    "export": "export MODEL --out OUT",
}


@pytest.fixture
def words(tiny_set, tiny_model, tmp_path):
    """The words of a command, with files in place of names."""
    photos = tmp_path / "photos"
    photos.mkdir()
    write_picture(photos / "one.png", np.full((64, 64, 3), 120, np.uint8))

    def make(command: str) -> tuple[list[str], Path]:
        names = {"MODEL": tiny_model, "SET": tiny_set, "PHOTO": photos / "one.png", "PHOTOS": photos}
        text = [str(names.get(word, word)) for word in command.split()]
        text = [word.replace("OUT", str(tmp_path / "out")) for word in text]
        return text, Path(next(word for word in text if word.startswith(str(tmp_path / "out"))))

    return make


# ------------------------------------------------------------------------------------------- one writer


HOLD = """
import sys, time
from pathlib import Path
from handvae.files import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen:
    """Another process that writes there."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_process_is_refused_in_one_line_and_writes_nothing(command, words, refused, tmp_path):
    text, out = words(COMMANDS[command])
    target = out / "0 of 1" if command == "render" else out
    process = holder(target)
    try:
        line = refused(*text)
    finally:
        kill(process)

    assert "another handvae process is writing there" in line
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_killed_process_blocks_nobody(tmp_path):
    process = holder(tmp_path / "out")
    kill(process)
    for _ in range(50):
        try:
            with only_writer(tmp_path / "out"):
                return
        except UserError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its process")


def test_locks_leave_nothing_beside_the_output(tmp_path):
    with only_writer(tmp_path / "out"), only_writer(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_conversions_at_once_give_one_whole_set(tiny_set, tmp_path):
    command = [
        sys.executable,
        "-m",
        "handvae.apps.cli",
        "data",
        "convert",
        str(tiny_set),
        str(tmp_path / "out"),
    ]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ends = [process.communicate() for process in processes]
    codes = sorted(process.returncode for process in processes)

    # the second is refused while the first writes, or because the folder is there
    assert codes == [0, 2], ends
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(content["annotations"]) == 48
    assert holds_only_ours(tmp_path / "out")


# ---------------------------------------------------------------------------------- names that do not fit

PICTURES = [name for name, words in COMMANDS.items() if "OUT." in words]
FOLDERS = [name for name in COMMANDS if name not in PICTURES and name != "train"]


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".xyz", ""])
@pytest.mark.parametrize("command", PICTURES)
def test_a_picture_of_a_kind_that_is_not_written_is_refused_before_the_work(command, suffix, words, refused):
    text, out = words(COMMANDS[command])
    other = str(out.with_suffix(suffix))
    line = refused(*[other if word == str(out) else word for word in text])
    assert other in line
    assert not Path(other).exists()


@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_called_like_a_picture_is_refused_before_the_work(command, words, refused):
    text, out = words(COMMANDS[command])
    line = refused(*[f"{out}.png" if word == str(out) else word for word in text])
    assert "out.png" in line
    assert not Path(f"{out}.png").exists()


@pytest.mark.parametrize("command", FOLDERS)
def test_a_file_in_the_place_of_a_folder_is_refused_and_kept(command, words, refused):
    text, out = words(COMMANDS[command])
    out.write_text("mine")
    refused(*text)
    assert out.read_text() == "mine"


# ------------------------------------------------------------------------------------------- what is ours


@pytest.fixture
def ours(tmp_path):
    """A folder that we wrote."""
    with complete_folder(tmp_path / "set") as partial:
        (partial / "images").mkdir()
        (partial / "images" / "a.txt").write_text("ours")
        (partial / "labels.txt").write_text("ours")
    return tmp_path / "set"


def test_a_folder_of_ours_is_replaced(ours):
    with complete_folder(ours, overwrite=True) as partial:
        (partial / "new.txt").write_text("new")
    assert sorted(path.name for path in ours.iterdir()) == [MANIFEST, "new.txt"]
    assert [path.name for path in ours.parent.iterdir()] == ["set"]


def a_file(folder: Path) -> None:
    (folder / "thesis.tex").write_text("ten years")


def a_deep_file(folder: Path) -> None:
    (folder / "images" / "b.txt").write_text("a note")


def a_change(folder: Path) -> None:
    (folder / "labels.txt").write_text("mended by hand")


def a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def a_broken_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


def texts(folder: Path) -> dict[Path, str]:
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("spoil", [a_file, a_deep_file, a_change, a_link, no_manifest, a_broken_manifest])
def test_a_folder_with_anything_foreign_is_kept_under_another_name(spoil, ours):
    spoil(ours)
    before = texts(ours)
    with (
        pytest.warns(ResultWarning, match=r"set\.old"),
        complete_folder(ours, overwrite=True) as partial,
    ):
        (partial / "new.txt").write_text("new")

    aside = ours.parent / "set.old"
    assert {
        path.relative_to(aside): path.read_text() for path in aside.rglob("*") if path.is_file()
    } == before
    assert (ours / "new.txt").is_file()


def test_folders_set_aside_do_not_replace_each_other(tmp_path):
    for number in range(3):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "n").write_text(str(number))
        set_aside(tmp_path / "set")
    names = ["set.old", "set.old.1", "set.old.2"]
    assert [(tmp_path / name / "n").read_text() for name in names] == ["0", "1", "2"]


def test_files_that_are_added_later_are_ours(ours):
    add_to_manifest(ours, "report.html")
    (ours / "report.html").write_text("made later")
    assert holds_only_ours(ours)
    (ours / "other.html").write_text("not ours")
    assert not holds_only_ours(ours)


def test_a_manifest_names_all_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x").write_text("1")
    write_manifest(tmp_path)
    assert list(json.loads((tmp_path / MANIFEST).read_text())["files"]) == ["deep/x"]


@pytest.mark.parametrize("source", ["set", "set/images", "set/images/a.txt"])
def test_a_folder_that_holds_the_source_is_refused(source, ours):
    with pytest.raises(UserError, match="which is read"):
        check_free(ours, True, [ours.parent / source])
    assert holds_only_ours(ours)


def test_a_link_to_the_source_does_not_hide_it(ours, tmp_path):
    (tmp_path / "link").symlink_to(ours)
    with pytest.raises(UserError, match="which is read"):
        check_free(tmp_path / "link", True, [ours / "images"])


@pytest.mark.parametrize(
    "command", ["data label SOURCE --out OUT --overwrite", "data convert SOURCE OUT --overwrite"]
)
def test_photos_are_never_replaced_by_what_is_made_of_them(command, small_set, refused):
    root = small_set()
    text = command.replace("SOURCE", str(root / "images") if "label" in command else str(root))
    line = refused(*text.replace("OUT", str(root)).split())
    assert "which is read" in line
    assert len(list((root / "images").iterdir())) >= 3


def test_neither_home_nor_the_folder_one_stands_in_is_set_aside(tmp_path, monkeypatch):
    (tmp_path / "home" / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home" / "work")
    (tmp_path / "home" / "work" / "x").write_text("mine")
    for folder in (tmp_path / "home", tmp_path, Path(".")):
        with pytest.raises(UserError, match="not replaced"):
            check_free(folder, True)
    assert os.listdir(".") == ["x"]
