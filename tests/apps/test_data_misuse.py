"""`handvae data ...` used wrongly: one line, exit code 2, and nothing half-written."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from handvae.data.files.pictures import read_picture


def test_a_jpeg_that_is_cut_off_is_named_and_leaves_no_set(handvae, refused, small_set, tmp_path):
    def cut(content):
        picture = tmp_path / "set" / "images" / "cut.jpg"
        whole = cv2.imencode(".jpg", read_picture(tmp_path / "set" / content["images"][1]["file_name"]))[
            1
        ].tobytes()
        picture.write_bytes(whole[: len(whole) * 9 // 10])
        content["images"][1]["file_name"] = "images/cut.jpg"

    source = small_set(cut)
    code, _, error = handvae("data", "check", source)
    assert code == 2
    assert "cut.jpg: the picture is damaged" in error
    assert "cut.jpg: the picture is damaged" in refused("data", "convert", source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


@pytest.mark.parametrize("out", ["set", "."], ids=["itself", "the folder that holds it"])
def test_convert_does_not_replace_what_it_reads(refused, small_set, tmp_path, monkeypatch, out):
    source = small_set()
    (tmp_path / "annotations.json").write_text("{}")  # a data set, as --overwrite asks
    monkeypatch.chdir(tmp_path)
    line = refused("data", "convert", source / "annotations.json", out, "--overwrite")
    assert "which is read" in line
    assert (source / "annotations.json").is_file()


def test_names_with_spaces_and_letters_of_any_script_are_names(handvae, small_set, tmp_path):
    source = small_set().rename(tmp_path / "meine Hände 手")
    assert handvae("data", "convert", source, tmp_path / "aus gabe é", "--format", "parquet")[0] == 0
    assert handvae("data", "info", tmp_path / "aus gabe é", "--out", tmp_path / "übersicht.png")[0] == 0
    assert read_picture(tmp_path / "übersicht.png").std() > 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(refused, small_set, tmp_path):
    source = small_set()
    (tmp_path / "locked").mkdir(mode=0o555)
    assert "Permission denied" in refused("data", "convert", source, tmp_path / "locked" / "out")


def test_an_option_of_the_wrong_kind_is_one_line_where_the_terminal_knows_no_frames(small_set):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    words = [
        sys.executable,
        "-m",
        "handvae.apps.cli",
        "data",
        "convert",
        str(small_set()),
        "out",
        "--formt",
        "coco",
    ]
    run = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        "handvae data: --formt: is no option of handvae data convert; did you mean --format? see handvae "
        "data convert --help"
    ]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_conversion_that_is_stopped_leaves_no_set_and_the_next_one_works(handvae, small_set, tmp_path, how):
    def large(content):
        for number, picture in enumerate(content["images"]):
            side = 4000
            noise = np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "set" / picture["file_name"]), noise)
            picture.update(width=side, height=side)

    words = ["data", "convert", str(small_set(large)), str(tmp_path / "out"), "--format", "parquet"]
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a job in the background ignores it, and so would the command
    run = subprocess.Popen(
        [sys.executable, "-m", "handvae.apps.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not (tmp_path / ".out.partial").exists() and run.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    run.send_signal(how)
    _, said = run.communicate(timeout=60)
    assert run.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert said == "handvae data: stopped\n"
        assert not (tmp_path / ".out.partial").exists()
    assert not (tmp_path / "out").exists()
    assert handvae(*words, "--limit", "1")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "set"]
