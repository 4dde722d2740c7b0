"""Kinds of photos that phones and cameras write: each is read, or named with what is missing."""

import importlib.util

import cv2
import numpy as np
import pytest
from PIL import Image

from handvae.data.files.depth import is_plane, read_depth
from handvae.data.files.frames import list_pictures, read_frames
from handvae.data.files.pictures import PICTURE_SUFFIXES, read_picture
from handvae.data.over_photos import Photos
from handvae.errors import DataWarning, UserError
from handvae.inference.pictures import pictures_in

COLOUR = (200, 120, 40)
KINDS = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".jfif": "JPEG",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
HEIC = {".heic", ".heif"}


def photo() -> Image.Image:
    """Wider than high, light above and dark below."""
    pixels = np.full((24, 40, 3), COLOUR, np.uint8)
    pixels[12:] //= 4
    return Image.fromarray(pixels)


def test_every_suffix_has_a_test():
    assert KINDS.keys() | HEIC == PICTURE_SUFFIXES


@pytest.mark.parametrize("suffix", KINDS)
def test_each_kind_is_read_in_its_colours(suffix, tmp_path):
    path = tmp_path / f"a{suffix.upper()}"
    photo().save(path, KINDS[suffix])
    assert np.abs(read_picture(path).astype(int) - np.asarray(photo())).mean() < 4


@pytest.mark.parametrize("kind", ["AVIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_each_kind_that_notes_how_the_camera_was_held_is_turned(kind, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a", kind, exif=exif)
    assert np.abs(read_picture(tmp_path / "a").astype(int) - np.asarray(photo())).mean() < 6


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK"])
def test_every_mode_of_a_tiff_is_read(mode, tmp_path):
    picture = photo().convert(mode)
    picture.save(tmp_path / "a.tif")
    assert np.abs(read_picture(tmp_path / "a.tif").astype(int) - picture.convert("RGB")).mean() < 3


def test_the_first_picture_of_an_animation_is_read(tmp_path):
    dark = Image.new("RGB", (40, 24))
    photo().save(tmp_path / "a.gif", save_all=True, append_images=[dark])
    assert np.abs(read_picture(tmp_path / "a.gif").astype(int) - np.asarray(photo())).mean() < 4


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_a_heic_picture_names_the_package_that_reads_it(brand, tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(UserError, match=r"IMG_0001.HEIC: is a HEIC picture.*pillow-heif"):
        read_picture(path)


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs pillow-heif")
def test_a_heic_picture_is_read(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(photo()).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read_picture(tmp_path / "a.heic").astype(int) - np.asarray(photo())).mean() < 6


# ---------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def mixed(tmp_path):
    """A folder of a phone: photos of two kinds, films, notes and a hidden file."""
    photo().save(tmp_path / "b.avif")
    photo().save(tmp_path / "a.JPG", "JPEG")
    for name in ("c.mov", "d.mov", "notes.txt", "README", ".DS_Store"):
        (tmp_path / name).write_text("no picture")
    return tmp_path


WAYS = {
    "label": lambda folder: [frame.name for frame in read_frames(folder)],
    "estimate": lambda folder: [path.name for path in pictures_in(folder)],
    "train": lambda folder: [path.name for path in Photos(folder).paths],
}


@pytest.mark.parametrize("way", WAYS)
def test_all_commands_take_the_same_files_and_count_the_others(way, mixed):
    with pytest.warns(DataWarning, match=r"skipped: 2 \.mov .a video.*, 1 \.txt, 1 without suffix"):
        assert WAYS[way](mixed) == ["a.JPG", "b.avif"]


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_without_pictures_says_what_it_holds(way, tmp_path):
    (tmp_path / "a.cr2").touch()
    with pytest.raises(UserError, match=r"holds no picture \(1 \.cr2\)"):
        WAYS[way](tmp_path)


def test_pictures_alone_are_listed_without_a_word(tmp_path):
    photo().save(tmp_path / "a.png")
    (tmp_path / "folder").mkdir()
    assert list_pictures(tmp_path) == [tmp_path / "a.png"]


# -------------------------------------------------------------------------------------------- grey of 16 bits


def test_a_grey_picture_of_16_bits_is_a_photo_where_that_is_said(tmp_path, handvae):
    grey = np.asarray(photo().convert("L")).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "scan.png"), grey)
    assert is_plane(tmp_path / "scan.png")

    code, _, error = handvae("estimate", tmp_path / "scan.png", "--out", tmp_path / "out")
    assert code == 2
    assert "--depth-encoding none" in error

    command = ("estimate", tmp_path / "scan.png", "--out", tmp_path / "out", "--depth-encoding", "none")
    code, _, error = handvae(*command)
    assert code == 0, error
    assert (tmp_path / "out" / "estimate.json").is_file()
    with pytest.raises(UserError, match="none"):
        read_depth(tmp_path / "scan.png", "none")
