"""`handvae reproduce` of figures of latent spaces: what is shown of which model, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.files.pictures import read_picture
from handvae.data.readers.coco import CocoHands
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.content_figures import content_walks, exchanged_layers, pose_walks, transfers
from handvae.reproduction.figure import LatentFigure
from handvae.reproduction.latent_figures import (
    VIEWS,
    code_plane,
    modality_walks,
    posterior_samples,
)
from handvae.reproduction.options import LatentOptions
from handvae.reproduction.papers import FIGURES, TABLES
from handvae.reproduction.sheets import CELL, GAP, HEADER, LABELS, TITLE
from handvae.reproduction.skeletons import BLUE, RED
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.dvae_generator import DvaeImageConfig
from handvae.systems.dvae_image import DvaeImage
from handvae.systems.dvae_layers import DvaeLayers
from handvae.training.checkpoint import load_model, save_model

CROSSED = CmVaeConfig(
    variant=4,
    latent_dims=6,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=32,
    norm="group",
    posterior_samples=4,
    root="wrist",
)
CONTENTS = DvaeImageConfig(
    content="residual",
    factor_dims=4,
    trunk_width=8,
    hidden=16,
    decoder_width=16,
    norm="group",
    posterior_samples=4,
    root="wrist",
)
STEP = CELL + GAP


@pytest.fixture
def models(tiny_set, tmp_path):
    """Untrained models by name."""
    spec = CocoHands(tiny_set).spec
    spec = replace(spec, size_px=32, modalities=(*spec.modalities, "content", "segmentation"))
    made = {}
    for name, kind, config, crop in (
        ("cm", CmVae, replace(CROSSED, more_pairs=("rgb-2d",)), Crop(32)),
        ("alone", CmVae, replace(CROSSED, variant=1), Crop(32)),
        ("dvae", DvaeImage, CONTENTS, Crop(32, sides="left")),
        ("parts", DvaeLayers, replace(CONTENTS, content="layers"), Crop(32, sides="left")),
    ):
        torch.manual_seed(0)
        sides = "left" if crop.sides == "left" else spec.sides
        save_model(tmp_path / f"{name}.safetensors", kind(config, replace(spec, sides=sides), crop).eval())
        made[name] = load_model(tmp_path / f"{name}.safetensors")
    return made


@pytest.fixture
def options(tiny_set, tmp_path):
    return LatentOptions(tiny_set, hands=2, columns=3, out=tmp_path / "out")


@pytest.fixture
def data(tiny_set):
    return CocoHands(tiny_set, "test")


def cells(sheet, rows, columns, left=0):
    """The cells of a sheet below its names of columns, right of its names of rows."""
    assert sheet.shape == (HEADER + rows * STEP - GAP, left + columns * STEP - GAP, 3)
    assert (sheet[:HEADER] < 255).any()  # columns are named
    if left:
        named = [
            (sheet[HEADER + r * STEP : HEADER + r * STEP + CELL, :left] < 255).any() for r in range(rows)
        ]
        assert all(named)
    inner = sheet[HEADER:, left:].astype(int)
    return [
        [inner[r * STEP : r * STEP + CELL, c * STEP : c * STEP + CELL] for c in range(columns)]
        for r in range(rows)
    ]


def coloured(cell, colour):
    """Whether a cell has pixels of a colour."""
    return bool((cell == np.array(colour)).all(2).any())


def test_a_walk_is_decoded_in_every_modality_and_begins_with_its_hands(models, data, options):
    sheet, said = modality_walks(models["cm"], data, options)
    shown = cells(sheet, 2 * 3, 3, LABELS)
    assert "rgb, 2d, 3d" in said
    assert np.abs(shown[0][0] - shown[0][2]).max() > 0  # pictures move
    halfway = (shown[0][0] + shown[0][2]) / 2
    assert np.abs(shown[0][1] - halfway).mean() < np.abs(shown[0][0] - shown[0][2]).mean()


def test_samples_stand_beside_the_truth_and_the_mean(models, data, options):
    sheet, _ = posterior_samples(models["cm"], data, options)
    shown = cells(sheet, 2, 6)
    assert not np.array_equal(shown[0][0], shown[1][0])  # two hands
    for row in shown:
        assert coloured(row[1], BLUE)
        assert not coloured(row[1], RED)
        assert all(coloured(cell, RED) and not coloured(cell, BLUE) for cell in row[2:])
    assert np.array_equal(posterior_samples(models["cm"], data, options)[0], sheet)


def test_codes_of_all_modalities_lie_in_one_plane_a_colour_each(models, data, options):
    sheet, said = code_plane(models["cm"], data, options)
    assert sheet.shape == (512, 512, 3)
    colours = {tuple(colour) for colour in sheet.reshape(-1, 3).tolist()}
    assert {(229, 57, 53), (251, 140, 0)} <= colours
    assert "16 hands by rgb, 3d; silhouette by modality" in said


def test_what_stands_still_on_a_walk_stands_still(models, data, options):
    """Between two hands with one content, a walk of the content changes nothing, and one of the pose does;
    and so the other way about."""
    contents, _ = content_walks(models["dvae"], data, options)
    poses, _ = pose_walks(models["dvae"], data, options)
    content_rows, pose_rows = cells(contents, 4, 5, LABELS), cells(poses, 8, 5, LABELS)
    for row in (content_rows[0], *pose_rows[:2], pose_rows[3]):
        assert np.abs(row[1] - row[3]).max() > 0
        assert np.array_equal(row[0], content_rows[0][0])  # between the same real pictures
        assert np.array_equal(row[4], content_rows[0][4])

    # both begin with the first hand's pose and content
    assert np.array_equal(content_rows[0][1], pose_rows[0][1])
    assert not np.array_equal(content_rows[0][3], pose_rows[0][3])
    # one content and the middle pose occur in both of the paper's walks
    assert np.array_equal(pose_rows[0][2], pose_rows[3][1])
    assert np.array_equal(pose_rows[1][2], pose_rows[3][3])


def test_below_the_pictures_of_a_walk_stand_true_poses_in_red_and_decoded_ones_in_blue(models, data, options):
    for sheet, rows, skeletons in (
        (content_walks(models["dvae"], data, options)[0], 4, (1, 3)),
        (pose_walks(models["dvae"], data, options)[0], 8, (2, 6)),
    ):
        shown = cells(sheet, rows, 5, LABELS)
        for number in skeletons:
            first, *walk, last = shown[number]
            assert all(coloured(cell, RED) and not coloured(cell, BLUE) for cell in (first, last))
            assert all(coloured(cell, BLUE) and not coloured(cell, RED) for cell in walk)


def test_poses_of_pictures_are_joined_with_contents_of_others_and_read_again(models, data, options):
    sheet, said = transfers(models["dvae"], data, options)
    shown = cells(sheet, 1 + 2 * 2, 2 + 3, LABELS)
    assert "2 poses with 3 contents" in said
    assert all((cell == 255).all() for cell in shown[0][:2])
    for made, read in ((shown[1], shown[2]), (shown[3], shown[4])):
        assert coloured(made[1], RED)  # the true pose of the picture beside it
        assert all(coloured(cell, RED) and coloured(cell, BLUE) for cell in read[2:])
        assert not np.array_equal(made[2], made[3])  # two contents
    assert not np.array_equal(shown[1][2], shown[3][2])  # two poses


def test_hand_and_ground_are_exchanged_each_by_itself(models, data, options):
    system = models["parts"].generator
    last = [layer for layer in system.image_decoder.modules() if isinstance(layer, torch.nn.ConvTranspose2d)][
        -1
    ]
    last.weight[:, 3], last.bias[3] = 0.0, -60.0  # the hand covers nothing
    sheet, said = exchanged_layers(models["parts"], data, options)
    assert "the other's hand, the other's ground, with both" in said
    for _, _, own, hand, ground, both in cells(sheet, 2, 6):
        assert np.array_equal(own, hand)
        assert np.array_equal(ground, both)
        assert not np.array_equal(own, ground)
    last.bias[3] = 60.0  # or all of the picture
    for first, second, own, hand, ground, both in cells(
        exchanged_layers(models["parts"], data, options)[0], 2, 6
    ):
        assert not np.array_equal(first, second)
        assert np.array_equal(own, ground)
        assert np.array_equal(hand, both)
        assert not np.array_equal(own, hand)


def test_figures_take_what_the_tables_trained(handvae, refused, tiny_set, tmp_path):
    rows = [row for table in TABLES.values() for row in table.rows]
    known = {row.name for row in rows}
    figures = [figure for figure in FIGURES.values() if isinstance(figure, LatentFigure)]
    assert {figure.view for figure in figures} == VIEWS.keys()
    assert all(set(figure.rows) <= known for figure in figures)
    words = ("--data", tiny_set, "--out", tmp_path, "--hands", 2, "--columns", 2)
    assert "--scale laptop" in refused("reproduce", "cm-vae-figure11", *words)
    name = ("--rows", "Var. 4, 2D to 3D")
    assert (
        handvae("reproduce", "cm-vae-table1", "--data", tiny_set, "--out", tmp_path, "--steps", 1, *name)[0]
        == 0
    )
    code, said, error = handvae("reproduce", "cm-vae-figure11", *words)
    assert code == 0, error
    assert "2 samples of the posterior" in said
    assert read_picture(tmp_path / "cm-vae-figure11.png").shape == (
        TITLE + HEADER + 2 * STEP - GAP,
        5 * STEP - GAP,
        3,
    )


def test_models_and_data_that_do_not_fit_are_refused(refused, models, tiny_set, tmp_path):
    def line(figure, model, *more):
        return refused(
            "reproduce",
            figure,
            "--data",
            tiny_set,
            "--model",
            models[model].path,
            "--out",
            tmp_path / "out",
            *more,
        )

    assert "the figure is of cm-VAE" in line("cm-vae-figure8", "dvae")
    assert "dVAE's pictures" in line("dvae-figure4", "cm")
    assert "in one piece" in line("dvae-layers", "dvae")
    assert "encodes rgb alone" in line("cm-vae-figure8", "alone")
    assert "lower --hands" in line("cm-vae-figure6", "cm", "--hands", 9)
    assert "--columns" in line("cm-vae-figure6", "cm", "--columns", 1)
    assert not (tmp_path / "out").exists()
