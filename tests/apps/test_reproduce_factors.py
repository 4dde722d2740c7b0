"""`handvae reproduce da-vae-...`: rows that share trainings and a mask network, the paper's numbers beside
ours, probes of the latent."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from handvae.apps.cli import main
from handvae.data.crop import Crop, cut
from handvae.data.open import open_data
from handvae.data.readers.rendered import RenderPlan, write_plan
from handvae.evaluation.latent_factors import FACTORS, GROUPS, as_shown, group_of, read_factors
from handvae.hand import LEFT, RIGHT
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.papers import TABLES
from handvae.reproduction.recipe import resolve
from handvae.systems.cm_vae import CmVaeConfig
from handvae.systems.da_vae import DaVaeConfig
from handvae.systems.dvae_pose import DvaePoseConfig
from handvae.systems.mask import MaskConfig
from handvae.training.checkpoint import load_model
from handvae.training.presets import PRESETS

NAMES = [f"da-vae-{name}" for name in ("table1", "table2", "table3", "table4", "figure2", "figure3")]
TINY_DA = DaVaeConfig(
    mask_width=8,
    mask_stem="half",
    pose_dims=6,
    appearance_dims=4,
    shape_dims=2,
    cloud_points=64,
    encoder=ResNetEncoder(8, "half"),
    head_width=16,
    decoder_width=16,
    hidden=32,
    fold_width=16,
    grid=5,
    posterior_samples=2,
)
SYSTEMS = {
    "rendered-da-64": TINY_DA,
    "rendered-na-64": replace(TINY_DA, attention=False),
    "rendered-mask-64": MaskConfig(width=8, stem="half"),
    "rendered-cm-64": CmVaeConfig(
        encoder=ResNetEncoder(8), decoder_width=16, hidden=16, latent_dims=4, posterior_samples=2
    ),
    "rendered-dvae-pose-64": DvaePoseConfig(factor_dims=4, trunk_width=8, hidden=16, posterior_samples=2),
}
SMALL = {
    name: replace(
        PRESETS[name],
        system=system,
        crop=Crop(32, sides=PRESETS[name].crop.sides),
        train=replace(PRESETS[name].train, batch=8),
    )
    for name, system in SYSTEMS.items()
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> Path:
    """A plan of 24 training and 56 test hands of 32 px. Not to be changed."""
    folder = tmp_path_factory.mktemp("rendered") / "set"
    write_plan(folder, RenderPlan(80, seed=3, size_px=32, test=56, cloud=0))
    return folder


@pytest.fixture(scope="module")
def finished(rendered, tmp_path_factory) -> Path:
    """Tables 1 and 3 of three steps and one seed. Not to be changed."""
    out = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handvae.reproduction.recipe.find_preset", SMALL.__getitem__)
        for table in ("da-vae-table1", "da-vae-table3"):
            assert (
                main(
                    [
                        "reproduce",
                        table,
                        "--data",
                        str(rendered),
                        "--out",
                        str(out),
                        "--steps",
                        "3",
                        "--seeds",
                        "1",
                    ]
                )
                == 0
            )
    return out / "laptop"


def report(finished: Path, table: str) -> dict:
    return json.loads((finished / table / "report.json").read_text())


def test_all_tables_and_figures_of_the_issue_are_there():
    assert set(NAMES) <= TABLES.keys()
    assert all(TABLES[name].kind == "factors" for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", ["laptop", "full"])
def test_every_row_names_a_preset_whose_options_exist(name, scale):
    for row, recipe in TABLES[name].rows_at(scale):
        preset = resolve(recipe, 0, 10 if scale == "laptop" else None)
        assert type(preset.system).__name__ in {"DaVaeConfig", "CmVaeConfig", "DvaePoseConfig"}, row.name


def test_a_row_of_one_name_is_one_training_in_all_tables():
    recipes: dict[tuple[str, str], set] = {}
    for name in NAMES:
        for row in TABLES[name].rows:
            for scale, recipe in (("laptop", row.laptop), ("full", row.full)):
                if recipe is not None:  # else it is not trained at this scale
                    recipes.setdefault((row.name, scale), set()).add((str(recipe), TABLES[name].laptop_steps))
    assert {name for name, found in recipes.items() if len(found) > 1} == set()


def test_the_sweep_of_figure_2_has_the_ratios_of_the_paper():
    ratios = []
    for row, recipe in TABLES["da-vae-figure2"].rows_at("full"):
        system = resolve(recipe, 0, None).system
        ratios.append(system.betas[0] / system.image_weight)
        assert row.name == f"r = {ratios[-1]:g}"
        assert (system.pose_weight, system.cloud_weight, system.betas) == (1000, 100, (10, 10, 10))
    assert ratios == pytest.approx([0.003, 0.03, 0.3, 3, 30, 300, 3000])


def test_a_sweep_is_drawn_over_what_changes(rendered, handvae, monkeypatch, tmp_path):
    monkeypatch.setattr("handvae.reproduction.recipe.find_preset", SMALL.__getitem__)
    rows = ("--rows", "a1/a3 = 10, a2/a3 = 100", "a1/a3 = 1000, a2/a3 = 100", "a1/a3 = 1000, a2/a3 = 1")
    code, said, error = handvae(
        "reproduce", "da-vae-figure3", "--data", rendered, "--out", tmp_path, "--steps", 2, *rows
    )
    assert code == 0, error
    assert "| a1/a3 = 10, a2/a3 = 100 |" in said
    drawn = (tmp_path / "laptop" / "da-vae-figure3" / "figure.html").read_text()
    assert [len(line.split()) for line in re.findall(r'polyline points="([^"]*)"', drawn)] == [2, 2], (
        "both curves meet in the middle row"
    )
    for name in ("a1/a3", "a2/a3", "EPE, mm", "56 hands of rendered"):
        assert name in drawn, name
    runs = tmp_path / "laptop" / "runs"
    weights = {
        folder.name: json.loads((folder / "config.json").read_text())["system"] for folder in runs.glob("a1*")
    }
    assert {(found["pose_weight"], found["cloud_weight"]) for found in weights.values()} == {
        (10, 100),
        (1000, 100),
        (1000, 1),
    }


def test_the_papers_numbers_stand_beside_ours(finished):
    text = (finished / "da-vae-table1" / "table.md").read_text()
    assert "| row | paper, EPE | EPE, mm | paper, AUC | AUC 20-50 |" in text
    assert "| da-VAE | 10.96 |" in text
    assert "| na-VAE | 12.56 |" in text
    assert "least EPE" in text
    beside = (finished / "da-vae-table3" / "table.md").read_text()
    assert "| Kulon et al. | 10.92 | - | 0.956 | - |" in beside
    (row,) = [row for row in report(finished, "da-vae-table3")["rows"] if row["name"] == "Yang & Yao (dVAE)"]
    assert row["measures"]["epe"]["n"] == 56
    assert 10 < row["measures"]["epe"]["mean"] < 200


def test_rows_share_their_trainings_and_one_mask_network(finished):
    runs = {path.name for path in (finished / "runs").glob("[!.]*")}
    assert runs == {
        "da-vae-0",
        "na-vae-0",
        "spurr-et-al-cm-vae-0",
        "ours-cm-vae-light-kl-0",
        "yang-yao-dvae-0",
        "mask-network-3-0",
    }
    taken, masks = (load_model(finished / "runs" / name).system for name in ("da-vae-0", "mask-network-3-0"))
    for name, value in masks.net.state_dict().items():
        assert torch.equal(taken.mask_net.state_dict()[name], value), name
    first, third = (report(finished, table)["rows"] for table in ("da-vae-table1", "da-vae-table3"))
    assert [row for row in first if row["name"] == "da-VAE"] == [
        row for row in third if row["name"] == "da-VAE"
    ]


def test_the_probe_table_has_all_groups_and_parts(finished):
    (row,) = [row for row in report(finished, "da-vae-table1")["rows"] if row["name"] == "da-VAE"]
    for group in GROUPS:
        for part in FACTORS:
            assert 0 <= row["measures"][f"probe_{group}_{part}"]["mean"] <= 1
    text = (finished / "da-vae-table1" / "table.md").read_text()
    assert "da-VAE, R² of linear probes: pose from z1" in text
    assert "Chamfer distance of the cloud" in text


def test_elbo_rates_and_clouds_are_those_of_the_model(finished, rendered):
    system = load_model(finished / "runs" / "da-vae-0").system
    (row,) = [row for row in report(finished, "da-vae-table1")["rows"] if row["name"] == "da-VAE"]
    found = {name: measure["mean"] for name, measure in row["measures"].items()}
    data = open_data(rendered, "test", None)
    hands = cut(data, torch.arange(len(data)), system.crop, fields=system.fields)
    latent = system.encode(hands.image)
    rates = [part.kl().mean() / part.mean.shape[1] for part in latent.factors]
    for name, rate in zip(("kl_pose", "kl_rgb", "kl_cloud"), rates, strict=True):
        assert found[name] == pytest.approx(rate.item(), rel=1e-3)
    read = read_factors(system, data)
    assert found["elbo"] == pytest.approx(-read.terms["total"] / 10, rel=1e-3)
    assert found["chamfer_mm"] == pytest.approx(read.chamfer_mm.mean().item(), rel=1e-3)


def test_a_page_shows_the_sheet_with_clouds(finished, rendered, handvae, tmp_path):
    code, _, error = handvae(
        "evaluate", finished / "runs" / "da-vae-0", rendered, "--metrics", "pose", "--report", tmp_path
    )
    assert code == 0, error
    assert "clouds and labels" in (tmp_path / "report.html").read_text()


def test_factors_are_mirrored_with_their_hands(rendered):
    data = open_data(rendered, "test", None)
    labels, names = data.labels(torch.arange(20)), data.spec.factors
    shown = as_shown(labels, names, "left")
    across = [names.index(name) for name in ("view_x_fingers", "view_x_back", "light_x")]
    assert torch.equal(shown[labels.side == LEFT], labels.factors[labels.side == LEFT])
    right = labels.side == RIGHT
    assert torch.equal(shown[right][:, across], -labels.factors[right][:, across])
    others = [column for column in range(len(names)) if column not in across]
    assert torch.equal(shown[:, others], labels.factors[:, others])
    assert torch.equal(as_shown(labels, names, "keep"), labels.factors)
    counts = {group: sum(group_of(name) == group for name in names) for group in GROUPS}
    assert counts == {"pose": 20, "view": 6, "appearance": 7, "shape": 4}


def test_data_without_masks_want_a_mask_network(refused, tiny_set, tmp_path):
    assert "--mask" in refused("reproduce", "da-vae-table1", "--data", tiny_set, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    said = refused(
        "reproduce",
        "da-vae-table1",
        "--data",
        tiny_set,
        "--mask",
        tmp_path / "nothing",
        "--out",
        tmp_path / "out",
    )
    assert "no such model" in said


def test_full_scale_wants_the_papers_data(refused, rendered):
    assert "RHD" in refused("reproduce", "da-vae-table1", "--data", rendered, "--scale", "full")
