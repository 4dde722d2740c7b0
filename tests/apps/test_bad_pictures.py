"""Pictures that are missing, damaged, foreign or too large."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_that_claims(width: int, height: int) -> bytes:
    """A valid PNG header of that size with a few bytes of picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def sound(tmp_path):
    """Writes a sound picture in the format of the suffix, and returns its bytes."""

    def make(suffix: str) -> bytes:
        path = tmp_path / f"sound{suffix}"
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()
        path.unlink()
        return content

    return make


@pytest.fixture
def refused_photo(refused, tiny_model, tmp_path):
    """Runs `estimate` on a picture of these bytes, which must be refused; returns the line."""

    def run(name: str, content: bytes) -> str:
        photo = tmp_path / name
        photo.write_bytes(content)
        line = refused("estimate", photo, "--model", tiny_model, "--out", tmp_path / "out")
        assert str(photo) in line
        assert not (tmp_path / "out").exists()
        return line

    return run


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_truncated_picture_is_refused(suffix, share, sound, refused_photo):
    content = sound(suffix)
    refused_photo(f"cut{suffix}", content[: int(len(content) * share)])


@pytest.mark.parametrize(
    "content",
    [b"", b"no picture", bytes(1000), b"\xff\xd8\xff"],
    ids=["empty", "text", "zeros", "a start only"],
)
def test_bytes_that_are_no_picture_are_refused(content, refused_photo):
    assert "not a picture" in refused_photo("photo.jpg", content)


def test_a_picture_with_wrong_bytes_inside_is_refused(sound, refused_photo):
    content = bytearray(sound(".png"))
    content[len(content) // 2 : len(content) // 2 + 20] = bytes(20)
    assert "damaged" in refused_photo("photo.png", bytes(content))


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 60_000), (10_000, 12_000), (9_000, 8_000), (2_000_000_000, 1)]
)
def test_a_decompression_bomb_is_refused_by_its_header(width, height, refused_photo):
    line = refused_photo("bomb.png", png_that_claims(width, height))
    assert "64,000,000" in line
    assert "smaller" in line


def test_a_missing_photo_is_named(refused, tiny_model, tmp_path):
    line = refused("estimate", tmp_path / "gone.jpg", "--model", tiny_model, "--out", tmp_path / "out")
    assert "gone.jpg" in line
    assert not (tmp_path / "out").exists()


def test_a_folder_without_pictures_is_named(refused, tiny_model, tmp_path):
    (tmp_path / "photos").mkdir()
    line = refused("estimate", tmp_path / "photos", "--model", tiny_model, "--out", tmp_path / "out")
    assert "holds no picture" in line
    assert ".jpg" in line


def test_one_bad_photo_among_good_ones_is_left_out(handvae, tiny_model, tiny_set, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    photos = (tiny_set / "images" / "000.png", tmp_path / "bad.jpg")
    code, _, error = handvae("estimate", *photos, "--model", tiny_model, "--out", tmp_path / "out")
    assert code == 0
    assert "1 of 2 files is left out" in error
    assert not list((tmp_path / "out").glob("*bad*"))


# -------------------------------------------------------------------------------------------------- pictures
# of a data set


def lose(folder):
    (folder / "images" / "001.png").unlink()


def truncate(folder):
    path = folder / "images" / "001.png"
    path.write_bytes(path.read_bytes()[:-40])


def fold(folder):
    lose(folder)
    (folder / "images" / "001.png").mkdir()


@pytest.mark.parametrize("spoil", [lose, truncate, fold], ids=["missing", "truncated", "a folder"])
def test_an_evaluation_names_a_bad_picture_of_its_set(spoil, small_set, refused, tiny_model, tmp_path):
    folder = small_set()
    spoil(folder)
    line = refused("evaluate", tiny_model, folder, "--split", "train", "--report", tmp_path / "report")
    assert "001.png" in line
    assert not (tmp_path / "report").exists()


def test_training_on_a_set_with_a_missing_picture_leaves_no_run(small_set, refused, tiny_flags, tmp_path):
    folder = small_set()
    lose(folder)
    line = refused("train", "photos-64", "--data.root", folder, "--out", tmp_path / "run", *tiny_flags)
    assert "001.png" in line
    assert not (tmp_path / "run").exists()


def test_training_can_start_again_once_a_damaged_picture_is_mended(
    small_set, refused, handvae, tiny_flags, tmp_path
):
    folder = small_set()
    sound = (folder / "images" / "001.png").read_bytes()
    truncate(folder)
    command = [
        "train",
        "photos-64",
        "--data.root",
        folder,
        "--out",
        tmp_path / "run",
        *tiny_flags,
        "--train.steps",
        "1",
    ]
    assert "001.png" in refused(*command)
    (folder / "images" / "001.png").write_bytes(sound)
    assert handvae(*command)[0] == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.mark.parametrize("spoil", [lose, truncate, fold], ids=["missing", "truncated", "a folder"])
def test_a_check_names_a_bad_picture(spoil, small_set, handvae):
    folder = small_set()
    spoil(folder)
    code, _, error = handvae("data", "check", folder)
    assert code == 2
    assert error.splitlines()[0].startswith("fault: ")
    assert "001.png" in error.splitlines()[0]
    assert len(error.splitlines()) == 2


def test_a_check_names_a_picture_of_another_size(small_set, handvae):
    folder = small_set(lambda content: content["images"][1].update(height=120))
    code, _, error = handvae("data", "check", folder)
    assert code == 2
    assert "96 x 96 px, image 1 says 96 x 120" in error
