"""What the Python API takes as a picture, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from handvae.errors import UserError
from handvae.inference.pictures import read_rgb
from handvae.inference.samples import sample_photos

PHOTO = sample_photos()[0]
SIDEWAYS = 6
"""EXIF: turn by a quarter clockwise to see it upright."""


@pytest.fixture
def pixels():
    return read_rgb(PHOTO)


def test_a_path_a_text_a_pil_picture_and_its_array_are_one_picture(pixels):
    assert pixels.shape == (100, 100, 3)
    assert np.array_equal(read_rgb(str(PHOTO)), pixels)
    assert np.array_equal(read_rgb(pixels), pixels)
    assert np.array_equal(read_rgb(Image.fromarray(pixels)), pixels)
    # two JPEG decoders may differ by rounding
    with Image.open(PHOTO) as opened:
        assert np.abs(read_rgb(opened).astype(int) - pixels.astype(int)).max() <= 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_are_the_same_picture(dtype, pixels):
    assert np.array_equal(read_rgb((pixels / 255).astype(dtype)), pixels)


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "1", "CMYK"])
def test_a_pil_picture_of_any_8_bit_mode_is_read_as_pil_shows_it(mode, pixels):
    picture = Image.fromarray(pixels).convert(mode)
    assert np.array_equal(read_rgb(picture), np.asarray(picture.convert("RGB")))


def test_a_pil_picture_with_a_palette_is_read_in_its_colours(pixels):
    picture = Image.fromarray(pixels).quantize(64)
    assert picture.mode == "P"
    assert np.abs(read_rgb(picture).astype(int) - pixels.astype(int)).mean() < 6


def test_a_turned_photo_is_read_upright(pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    turned = np.rot90(pixels, 1)  # a quarter counter-clockwise
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "turned.png"), pixels)
    with Image.open(tmp_path / "turned.png") as opened:
        assert np.array_equal(read_rgb(opened), pixels)


def test_a_strided_array_is_read_in_its_own_order(pixels):
    assert np.array_equal(read_rgb(pixels[:, ::-1]), np.ascontiguousarray(pixels[:, ::-1]))


@pytest.mark.parametrize(
    ("array", "fault", "words"),
    [
        (np.zeros((8, 9), np.uint8), ValueError, ["(8, 9)", "uint8"]),
        (np.zeros((8, 9, 4), np.uint8), ValueError, ["(8, 9, 4)", "uint8"]),
        (np.zeros((3, 8, 9), np.float32), ValueError, ["(3, 8, 9)", "float32"]),
        (np.zeros((0, 9, 3), np.uint8), ValueError, ["(0, 9, 3)"]),
        (np.full((8, 9, 3), 255.0), ValueError, ["(8, 9, 3)", "float64", "range 255 to 255"]),
        (np.full((8, 9, 3), -0.1), ValueError, ["range -0.1 to -0.1"]),
        (np.full((8, 9, 3), np.nan), ValueError, ["float64", "nan"]),
        (np.full((8, 9, 3), 300), TypeError, ["(8, 9, 3)", "int64", "range 300 to 300"]),
        (np.zeros((8, 9, 3), bool), TypeError, ["bool"]),
        (np.zeros((8, 9, 3), np.uint16), TypeError, ["uint16"]),
        (np.zeros((8, 9, 3), complex), TypeError, ["complex128"]),
    ],
)
def test_another_array_is_refused_by_its_shape_dtype_and_range(array, fault, words):
    with pytest.raises(fault) as caught:
        read_rgb(array)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "give a path" in str(caught.value)


@pytest.mark.parametrize("value", [None, 7, b"\x89PNG", {"image": 1}, torch.zeros(8, 9, 3)])
@pytest.mark.usefixtures("unchecked")
def test_another_type_is_refused_by_its_name(value):
    with pytest.raises(TypeError, match=type(value).__name__):
        read_rgb(value)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_a_pil_picture_of_more_bits_is_refused(mode):
    with pytest.raises(ValueError, match=mode):
        read_rgb(Image.new(mode, (8, 9)))


def test_a_missing_and_a_damaged_file_are_user_errors(tmp_path):
    with pytest.raises(UserError, match="no_such"):
        read_rgb(tmp_path / "no_such.jpg")
    (tmp_path / "cut.jpg").write_bytes(PHOTO.read_bytes()[:-800])
    with Image.open(tmp_path / "cut.jpg") as cut, pytest.raises(UserError, match=r"cut\.jpg"):
        read_rgb(cut)
