"""Tables, figures and walks divide a data set alike, so that no figure shows a trained pose as unseen."""

from pathlib import Path

import pytest

from handvae.errors import UserError
from handvae.reproduction.build import build_reproduction
from handvae.reproduction.figure_models import shown
from handvae.reproduction.options import AppearanceOptions, PictureOptions, PoseOptions
from handvae.reproduction.papers import FIGURES, TABLES
from handvae.reproduction.picture_table import PictureTable
from handvae.reproduction.pose_table import PoseTable
from handvae.reproduction.protocol import need_of, protocol_of
from handvae.training.distributed import Ranks

TABLE_1 = TABLES["srv-vae-table1"]
ROWS = [row for table in TABLES.values() for row in table.rows]


@pytest.mark.parametrize("name", TABLES)
def test_the_rows_of_a_table_divide_a_data_set_in_one_way(name):
    needs = TABLES[name].needs
    assert len({need.layout for need in needs}) == len(needs)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_divides_a_data_set_as_each_table_that_trains_its_models(name):
    shows = set(FIGURES[name].rows)
    rows = [row for row in ROWS if row.name in shows]
    for table in TABLES.values():
        for need in table.needs:
            if any(row.name in shows and row.need == need for row in table.rows):
                assert need_of(rows, need.layout) == need


def test_the_figures_of_srv_vae_show_stb_poses_that_its_tables_do_not_train_on(
    laid_out, tmp_path, tiny_model
):
    root, _ = laid_out("stb")
    work = build_reproduction(TABLE_1, PictureOptions(root, tmp_path), Ranks())
    options = AppearanceOptions(root, tmp_path, model=(str(tiny_model),))
    drawn = shown(FIGURES["srv-vae-figure4"].rows, options).data

    assert isinstance(work, PictureTable)
    names, seen, unseen = (
        {data.name(row) for row in range(len(data))} for data in (drawn, work.poses.seen, work.poses.unseen)
    )
    assert names == unseen
    assert not names & seen
    assert all("Counting/BB_left" in name for name in names)


def test_a_table_of_poses_takes_the_papers_protocol_at_laptop_scale_too(laid_out, tmp_path):
    root, _ = laid_out("stb")
    options = PoseOptions(root, tmp_path, rows=("Var. 1, RGB to 3D",))
    work = build_reproduction(TABLES["cm-vae-table1"], options, Ranks())
    assert isinstance(work, PoseTable)
    assert {work.test.name(row).split("/")[-2][:2] for row in range(len(work.test))} == {"B1"}


def test_data_of_another_layout_have_the_readers_own_protocol(tiny_set):
    assert protocol_of(TABLE_1.rows, tiny_set).name is None
    assert protocol_of(TABLE_1.rows, tiny_set, "lifting").name == "lifting"


def test_full_scale_has_the_papers_protocols_alone(laid_out):
    root: Path = laid_out("msra")[0]
    rows = TABLES["cm-vae-depth"].rows
    assert protocol_of(rows, root, "P3", "full").name == "P3"
    with pytest.raises(UserError, match="P0, P1"):
        protocol_of(rows, root, "P9", "full")
    assert protocol_of(rows, root, "P9", "laptop").name == "P9"
