"""Soft-Intro-SRV-VAE through the loop and the command line: stages, resuming, the watch over the game, its
start from SRV-VAE."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.noise import Noise
from handvae.systems import soft_intro
from handvae.systems.build import build_system
from handvae.training.checkpoint import load_model, start_from
from handvae.training.distributed import Ranks
from handvae.training.loop import activate_stage, fit
from handvae.training.presets import PRESETS

PAPER = replace(
    PRESETS["soft-intro-2d-64"].system,
    appearance_dims=4,
    encoder_widths=(8, 8, 16),
    decoder_widths=(16, 16, 8, 8),
    norm="group",
    beta_neg=16.0,
)
OURS = replace(
    PRESETS["photos-soft-64"].system,
    appearance_dims=4,
    encoder_widths=(8, 8, 16),
    encoder_hidden=0,
    decoder_widths=(16, 8, 8),
    decoder_hidden=0,
    norm="group",
    beta_neg=16.0,
)


# ----------------------------------------------------------------------------------------------- --- training


@pytest.mark.parametrize(
    "config", [replace(PAPER, warm_up=0.5), replace(OURS, warm_up=0.5)], ids=["paper", "ours"]
)
def test_a_broken_run_resumes_to_the_bytes_of_an_unbroken_one(config, soft, run, tmp_path, monkeypatch):
    monkeypatch.setattr(soft_intro, "WINDOW", 2)
    config = replace(config, smallest_gap=1e9)  # b_neg is halved in every window
    whole = fit(run(soft(config), tmp_path / "whole", save_every=2), Ranks())
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows if "stage" in row] == ["warm-up"] * 3 + ["adversarial"] * 3
    fit(run(soft(config), tmp_path / "broken", save_every=2, stop_at=5), Ranks())
    config_path = tmp_path / "broken" / "config.json"
    config_path.write_text(config_path.read_text().replace('"stop_at": 5', '"stop_at": null'))
    broken = fit(run(soft(config), tmp_path / "broken", resume=True, save_every=2), Ranks())
    assert whole.read_bytes() == broken.read_bytes()
    assert load_model(whole).system.halvings == 2


def test_the_warm_up_moves_both_players_and_plays_no_game(soft, run, tmp_path):
    system = soft(replace(PAPER, warm_up=1.0))
    before = {name: p.detach().clone() for name, p in system.named_parameters()}
    fit(run(system, tmp_path / "run", ema=0.0), Ranks())
    assert [name for name, p in system.named_parameters() if torch.equal(p, before[name])] == []
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"encoder/image", "encoder/kl_real", "encoder/pose", "decoder/image"} <= rows[-1].keys()
    assert not any("fake" in name for name in rows[-1])
    assert rows[-1]["encoder/image"] < rows[0]["encoder/image"]
    assert all(row["encoder/image"] == pytest.approx(row["decoder/image"], rel=1e-4) for row in rows)


def test_the_game_logs_what_is_to_be_watched(soft, run, tmp_path):
    fit(run(soft(replace(PAPER, warm_up=0.0)), tmp_path / "run", steps=1), Ranks())
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    of_encoder = {
        "kl_real",
        "kl_rec",
        "kl_fake",
        "exp_elbo_rec",
        "exp_elbo_fake",
        "pose",
        "pose_rec",
        "pose_fake",
        "beta_neg",
    }
    of_encoder |= {"pose_variance", "image_variance", "expected_image", "linear_pose"}
    assert {f"encoder/{name}" for name in of_encoder} <= row.keys()
    assert {
        f"decoder/{name}" for name in ("image", "kl_rec", "kl_fake", "pose_rec", "pose_fake")
    } <= row.keys()


@pytest.mark.parametrize(("gap", "left"), [(1e9, 4.0), (-1e9, 16.0)])
def test_beta_neg_is_halved_where_fakes_have_the_smaller_kl_and_the_log_says_so(
    gap, left, soft, run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(soft_intro, "WINDOW", 2)
    fit(run(soft(replace(OURS, beta_neg=16.0, warm_up=0.0, smallest_gap=gap)), tmp_path / "run"), Ranks())
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["encoder/beta_neg"] for row in rows if "stage" in row][4] == left
    notes = [row["note"] for row in rows if "note" in row]
    assert [note.rsplit(" ", 1)[1] for note in notes] == (["8", "4", "2"] if left == 4 else [])
    assert ("beta_neg is now 4" in capsys.readouterr().out) == (left == 4)


def test_an_encoder_that_has_won_is_reported(soft, run, tmp_path, monkeypatch):
    monkeypatch.setattr(soft_intro, "WINDOW", 2)
    fit(run(soft(replace(OURS, warm_up=0.0, beta_neg=1e7, smallest_gap=-1e9)), tmp_path / "run"), Ranks())
    notes = [
        json.loads(line).get("note", "")
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum("the encoder has won" in note for note in notes) == 3


def test_less_than_half_a_window_decides_nothing(soft, crops):
    system = soft(replace(PAPER, smallest_gap=1e9))
    for _ in system.step(crops[:4], "adversarial", Noise(0, soft_intro.WINDOW - 1)):
        pass
    assert system.halvings == 0
    assert not system.watched.any()


@pytest.mark.parametrize(("statistics", "same"), [("keep", True), ("follow", False)])
def test_statistics_are_kept_if_asked(statistics, same, soft, run, crops, tmp_path):
    system = soft(replace(OURS, norm="batch", statistics=statistics))
    activate_stage(system, system.stages[1])
    before = {name: value.clone() for name, value in system.state_dict().items() if "running" in name}
    for _ in system.step(crops[:4], "adversarial", Noise(0)):
        pass
    assert before
    assert all(torch.equal(value, system.state_dict()[name]) for name, value in before.items()) == same


# ----------------------------------------------------------------------------------------------- ----- starts


def test_a_run_of_ours_begins_with_the_pictures_of_the_shipped_model():
    shipped, preset = load_model("photos-64"), PRESETS["photos-soft-64"]
    system = build_system(preset.system, shipped.system.spec, preset.crop)
    start_from(system, shipped)
    joints, appearances = (
        Noise(5).uniform(3, 21, 2, low=-0.7, high=0.7),
        Noise(6).normal(3, shipped.system.config.appearance_dims),
    )
    torch.testing.assert_close(
        system.eval().synthesize(joints, appearances),
        shipped.system.synthesize(joints, appearances),
        rtol=0,
        atol=1e-5,
    )


def test_a_start_forgets_how_the_game_stood(soft):
    first, second = soft(PAPER), soft(replace(PAPER, beta_neg=3.0))
    first.halvings += 4
    first.watched += 1
    with torch.no_grad():
        first.trunk.stages[0][0].weight += 1
    start_from(second, replace(load_model("photos-64"), system=first))
    assert torch.equal(second.trunk.stages[0][0].weight, first.trunk.stages[0][0].weight)
    assert second.halvings == 0
    assert not second.watched.any()


def test_a_start_names_what_differs(soft, refused, tiny_set, tmp_path):
    words = [
        "train",
        "photos-soft-64",
        "--data.root",
        tiny_set,
        "--out",
        tmp_path / "run",
        "--init",
        "photos-64",
    ]
    assert "its network is another one: appearance_dims 16 (here 5)" in refused(
        *words, "--system.appearance-dims", "5"
    )


@pytest.mark.parametrize("preset", ["soft-intro-2d-64", "photos-soft-64"])
def test_the_command_trains_and_its_model_synthesizes(preset, handvae, tiny_set, tmp_path):
    small = [
        "--crop.size-px",
        "32",
        "--system.appearance-dims",
        "4",
        "--system.norm",
        "group",
        "--train.batch",
        "8",
        "--train.workers",
        "1",
    ]
    small += ["--system.encoder-widths", "8", "8", "16", "--system.decoder-widths", "16", "8", "8"]
    small += ["8"] if preset == "soft-intro-2d-64" else []
    small += [
        "--train.no-compile",
        "--train.epochs",
        "None",
        "--train.steps",
        "2",
        "--train.precision",
        "float32",
    ]
    words = ["train", preset, "--data.root", tiny_set, "--out", tmp_path / "run", *small]
    code, said, error = handvae(*words)
    assert code == 0, error
    assert "encoder/kl_real" in said
    assert (tmp_path / "run" / "report.html").is_file()
    words = [
        "synthesize",
        "--model",
        tmp_path / "run",
        "--pose",
        "victory",
        "-n",
        "2",
        "--out",
        tmp_path / "made",
    ]
    code, _, error = handvae(*words)
    assert code == 0, error
