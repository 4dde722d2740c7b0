import numpy as np
import pytest
from PIL import Image

from handvae.data.files.pictures import as_pixels, inside, read_picture, write_picture
from handvae.errors import UserError


@pytest.fixture
def pixels():
    """Red above, blue below, each row darker than the one above."""
    picture = np.zeros((6, 4, 3), np.uint8)
    picture[:3, :, 0] = 250
    picture[3:, :, 2] = 250
    return picture - np.arange(6, dtype=np.uint8)[:, None, None] * (picture > 0)


def test_a_png_comes_back_bit_for_bit_and_in_rgb(pixels, tmp_path):
    write_picture(tmp_path / "a.png", pixels)
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.getpixel((0, 0)) == (250, 0, 0)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_a_jpeg_comes_back_nearly(suffix, tmp_path):
    plain = np.full((16, 16, 3), (200, 120, 40), np.uint8)
    write_picture(tmp_path / f"a{suffix}", plain)
    assert np.abs(read_picture(tmp_path / f"a{suffix}").astype(int) - plain).max() < 6
    assert (tmp_path / f"a{suffix}").read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_a_picture_of_any_kind_is_read_as_rgb(mode, tmp_path):
    grey = np.full((8, 8, 3), 255, np.uint8)
    picture = (
        Image.fromarray(np.full((8, 8), 65535, np.uint16))
        if mode == "I;16"
        else Image.fromarray(grey).convert(mode)
    )
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    picture.save(path)
    assert np.array_equal(read_picture(path), grey)


def test_a_photo_that_its_camera_marked_as_turned_is_read_upright(pixels, tmp_path):
    """A phone held upright stores its picture lying, with a mark; labels are made on the upright one."""
    mark = Image.Exif()
    mark[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    large = np.repeat(np.repeat(pixels, 8, 0), 8, 1)
    Image.fromarray(np.rot90(large)).save(tmp_path / "a.jpg", exif=mark, quality=95)
    upright = read_picture(tmp_path / "a.jpg")
    assert upright.shape == large.shape
    assert np.abs(upright.astype(int) - large).mean() < 12


def test_a_name_stays_below_its_root(tmp_path):
    (tmp_path / "data").mkdir()
    assert inside(tmp_path / "data", "images/a.png") == (tmp_path / "data" / "images" / "a.png").resolve()
    for name in ("../a.png", "images/../../a.png", "/a.png"):
        with pytest.raises(UserError, match="leaves"):
            inside(tmp_path / "data", name)


def test_a_link_that_leads_out_of_the_root_is_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "way_out").symlink_to(tmp_path)
    with pytest.raises(UserError, match="leaves"):
        inside(tmp_path / "data", "way_out/secret.png")


def test_a_sibling_that_starts_with_the_roots_name_is_outside(tmp_path):
    with pytest.raises(UserError, match="leaves"):
        inside(tmp_path / "data", "../data2/a.png")


def test_floats_become_pixels_rounded_and_clipped():
    image = np.array([-1.0, 0.0, 0.5, 1.0, 3.0]) * np.ones((3, 1, 1))
    assert as_pixels(image)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_both_layouts_of_floats_give_the_same_pixels():
    image = np.random.default_rng(0).random((3, 5, 7))
    assert np.array_equal(as_pixels(image), as_pixels(np.moveaxis(image, 0, -1)))


def test_a_write_that_fails_leaves_nothing(pixels, tmp_path, monkeypatch):
    def fail(self, beside, kind, quality):
        beside.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_picture(tmp_path / "a.png", pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a" * 300, "b/" * 3000, "nul\0byte", "loop"], ids=["long", "deep", "null", "loop"]
)
def test_a_name_that_can_be_no_files_is_refused(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UserError, match="can be no file's"):
        inside(tmp_path, name)
