"""estimate, transfer, walk, data and demo, end to end with a tiny model."""

import json
import weakref

import numpy as np
import pytest
from PIL import Image

from handvae.data.files.pictures import read_picture, write_picture
from handvae.inference.locate import Photo


@pytest.fixture
def run(handvae):
    """Runs a command that must succeed; returns what it printed."""

    def call(*words: object) -> str:
        code, said, error = handvae(*words)
        assert code == 0, error
        return said

    return call


def test_estimate_writes_joints_inside_an_overlay_and_says_which_crop_it_took(
    run, tiny_model, tiny_set, tmp_path
):
    photo = tiny_set / "images" / "001.png"
    said = run("estimate", photo, "--model", tiny_model, "--out", tmp_path)
    assert "annotations.json" in said
    (hand,) = json.loads((tmp_path / "estimate.json").read_text())["hands"]
    assert np.array(hand["keypoints"]).shape == (21, 2)
    assert np.array(hand["spread_px"]).min() > 0
    assert max(len(str(number)) for joint in hand["keypoints"] for number in joint) <= len("-100.123")
    assert max(read_picture(tmp_path / hand["overlay"]).shape) == 512


def test_a_folder_of_photos_is_never_whole_in_memory(run, tiny_model, tiny_set, tmp_path, monkeypatch):
    kept, most = [], 0

    read = Photo.read

    def reading(*arguments):
        nonlocal most
        kept.append(weakref.ref(photo := read(*arguments)))
        most = max(most, sum(one() is not None for one in kept))
        return photo

    monkeypatch.setattr(Photo, "read", reading)
    monkeypatch.setattr("handvae.inference.estimator.BATCH", 2)
    # without labels beside them
    photos = [tmp_path / path.name for path in sorted((tiny_set / "images").iterdir())[:6]]
    for path in photos:
        path.write_bytes((tiny_set / "images" / path.name).read_bytes())
    box = ("--box", "8,8,80,80", "--side", "right")
    said = run("estimate", *photos, *box, "--model", tiny_model, "--out", tmp_path / "out")
    assert said.count("overlay") == 6
    assert len(kept) >= 6
    assert most <= 4


def test_a_box_outranks_the_labels(run, tiny_model, tiny_set, tmp_path):
    said = run(
        "estimate",
        tiny_set / "images" / "001.png",
        "--box",
        "20,20,40,50",
        "--model",
        tiny_model,
        "--out",
        tmp_path / "b",
    )
    assert "crop from the given box" in said


def test_what_estimate_writes_is_a_pose_file(run, tiny_model, tiny_set, tmp_path):
    run(
        "estimate",
        tiny_set / "images" / "001.png",
        tiny_set / "images" / "002.png",
        "--model",
        tiny_model,
        "--out",
        tmp_path,
    )
    said = run(
        "synthesize", "--pose", tmp_path / "estimate.json", "--model", tiny_model, "--out", tmp_path / "made"
    )
    assert said.startswith("2 pictures")


def test_the_other_hand_is_read_through_a_mirror(run, tiny_model, tiny_set, tmp_path):
    pixels = read_picture(tiny_set / "images" / "004.png")
    for name, picture in (("right", pixels), ("left", np.ascontiguousarray(pixels[:, ::-1]))):
        write_picture(tmp_path / f"{name}.png", picture)
        run(
            "estimate",
            tmp_path / f"{name}.png",
            "--side",
            name,
            "--box",
            "8,8,80,80",
            "--model",
            tiny_model,
            "--out",
            tmp_path / name,
        )
    right, left = (
        np.array(json.loads((tmp_path / n / "estimate.json").read_text())["hands"][0]["keypoints"])
        for n in ("right", "left")
    )
    np.testing.assert_allclose(left[:, 0], 96 - right[:, 0], atol=0.05)
    np.testing.assert_allclose(left[:, 1], right[:, 1], atol=0.05)


def test_transfer_draws_an_appearance_a_row(run, tiny_model, tiny_set, tmp_path):
    appearances = tmp_path / "looks"
    appearances.mkdir()
    for name in ("001.png", "009.png"):
        write_picture(appearances / name, read_picture(tiny_set / "images" / name))
    box = ("--box", "8,8,80,80")
    run(
        "transfer",
        appearances,
        tiny_set / "images" / "005.png",
        *box,
        "--model",
        tiny_model,
        "--out",
        tmp_path / "one.png",
    )
    run("transfer", appearances, "victory", *box, "--model", tiny_model, "--out", tmp_path / "two.png")
    one, two = read_picture(tmp_path / "one.png"), read_picture(tmp_path / "two.png")
    assert one.shape == two.shape == (3 * 194 - 2, 3 * 194 - 2, 3)
    assert (one[200:, 388:] != two[200:, 388:]).any()


def test_a_mean_of_looks_is_of_the_box_and_the_side_that_are_given(run, tiny_model, tiny_set, tmp_path):
    """The looks of left photos are those of their mirror images, for a model of right hands."""
    pixels = read_picture(tiny_set / "images" / "004.png")
    for name, picture in (("right", pixels), ("left", np.ascontiguousarray(pixels[:, ::-1]))):
        write_picture(tmp_path / f"{name}.png", picture)
        for kind, words in (("whole", ("--box", "0,0,96,96")), ("boxed", ("--box", "8,8,80,80"))):
            out = tmp_path / f"{name}-{kind}.png"
            run(
                "transfer",
                tmp_path / f"{name}.png",
                "open",
                "--mean",
                "--side",
                name,
                *words,
                "--model",
                tiny_model,
                "--out",
                out,
            )
    sheets = {
        path.stem: read_picture(path)[:, 200:] for path in tmp_path.glob("*-*.png")
    }  # without the names of the files
    np.testing.assert_allclose(sheets["left-whole"].astype(int), sheets["right-whole"].astype(int), atol=1)
    np.testing.assert_allclose(sheets["left-boxed"].astype(int), sheets["right-boxed"].astype(int), atol=1)
    assert (sheets["right-boxed"] != sheets["right-whole"]).any()


def test_a_box_for_no_photo_is_refused(refused, tiny_model, tiny_set, tmp_path):
    photo = tiny_set / "images" / "004.png"
    line = refused(
        "transfer",
        photo,
        "open",
        "--pose-box",
        "8,8,80,80",
        "--model",
        tiny_model,
        "--out",
        tmp_path / "a.png",
    )
    assert "--pose-box: open is no photo" in line
    line = refused(
        "transfer",
        "light-on-dark",
        "open",
        "--box",
        "8,8,80,80",
        "--model",
        tiny_model,
        "--out",
        tmp_path / "a.png",
    )
    assert "--box: light-on-dark is no photo" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("open", "point"), ("random", "random", "--factor", "appearance")])
def test_a_walk_goes_there_and_back_and_moves(words, run, tiny_model, tmp_path):
    run("walk", *words, "--frames", 5, "--model", tiny_model, "--out", tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as animation:
        frames = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            frames.append(np.asarray(animation.convert("RGB"), float))
    assert frames[0].shape == (256, 256, 3)
    assert 5 <= len(frames) <= 8  # equal neighbours are merged
    assert np.abs(frames[0] - frames[len(frames) // 2]).max() > 0


def test_data_info_counts_hands_people_and_labels(run, tiny_set):
    said = " ".join(run("data", "info", tiny_set, "--split", "train").split())
    assert "hands 32 (0 left, 32 right)" in said
    assert "people 4" in said
    assert "96 x 96" in said


def test_demo_writes_its_four_pictures(run, tiny_model, tiny_set, tmp_path):
    said = run("demo", "--model", tiny_model, "--out", tmp_path / "demo")
    for name in ("poses.png", "transfer.png", "walk.gif", "estimate.png"):
        assert str(tmp_path / "demo" / name) in said
        with Image.open(tmp_path / "demo" / name) as picture:
            assert min(picture.size) > 100
            assert np.asarray(picture.convert("L"), float).std() > 1
    run("demo", "--model", tiny_model, "--photos", tiny_set / "images", "--out", tmp_path / "own")
    assert (tmp_path / "own" / "transfer.png").read_bytes() != (
        tmp_path / "demo" / "transfer.png"
    ).read_bytes()
