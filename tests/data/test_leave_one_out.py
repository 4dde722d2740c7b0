"""MSRA as papers judge it: nine models, each measured on the person that it has not seen."""

import json
from dataclasses import replace

import pytest

from handvae.evaluation.measure import Measure, Stated
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.reproduction.leave_one_out import interval, mean_measures
from handvae.training.presets import find_preset

ROW = "Var. 1, depth to 3D"
PEOPLE = [f"P{person}" for person in range(9)]


def small(name):
    """The preset with narrow networks, at 32 px."""
    preset = find_preset(name)
    system = replace(
        preset.system, latent_dims=4, encoder=ResNetEncoder(16), hidden=16, posterior_samples=2, norm="group"
    )
    train = replace(preset.train, batch=4, workers=1, compile=False)
    return replace(preset, system=system, crop=replace(preset.crop, size_px=32), train=train)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setattr("handvae.reproduction.recipe.find_preset", small)


def test_every_person_counts_the_same_and_the_interval_is_over_people():
    def measures(epe, n):
        return [Measure(name, epe, "mm", n, Stated("p"), "mean") for name in ("epe", "epe_low", "epe_high")]

    mean, low, high = mean_measures([measures(10.0, 5), measures(20.0, 1), measures(30.0, 2)])
    assert (mean.value, mean.n) == (20.0, 8)
    assert "mean over 3 people" in mean.definition
    # Student's t of 2 degrees of freedom at 97.5 %: 4.3027
    assert (low.value, high.value) == pytest.approx(
        (20 - 4.3027 * 10 / 3**0.5, 20 + 4.3027 * 10 / 3**0.5), 1e-4
    )
    assert interval([5.0, 5.0]) == (5.0, 5.0)


def test_each_person_is_left_out_once_and_the_table_has_the_mean(laid_out, handvae, tmp_path):
    words = ("reproduce", "cm-vae-depth", "--data", laid_out("msra")[0], "--scale", "full", "--steps", 1)
    words = (*words, "--out", tmp_path, "--rows", ROW)
    code, said, error = handvae(*words)
    assert code == 0, error
    assert "P0, P1, P2, P3, P4, P5, P6, P7, P8 of msra is left out" in said

    kept = []
    for person in PEOPLE:
        folder = tmp_path / "full" / person / "runs" / "var-1-depth-to-3d-0"
        measures = json.loads((folder / "measures.json").read_text())["measures"]
        kept.append(next(measure["value"] for measure in measures if measure["name"] == "epe"))
    assert len(set(kept)) > 1

    (row,) = json.loads((tmp_path / "full" / "cm-vae-depth" / "report.json").read_text())["rows"]
    assert row["measures"]["epe"]["mean"] == pytest.approx(sum(kept) / 9)
    low, high = interval(kept)
    assert row["measures"]["epe_low"]["mean"] == pytest.approx(low)
    assert row["measures"]["epe_high"]["mean"] == pytest.approx(high)
    assert "8.1 mm is DeepPrior++'s error on ICVL" in said

    # one person alone shares the training
    code, said, error = handvae(*words, "--protocol", "P3")
    assert code == 0, error
    (alone,) = json.loads((tmp_path / "full" / "P3" / "cm-vae-depth" / "report.json").read_text())["rows"]
    assert alone["measures"]["epe"]["mean"] == pytest.approx(kept[3])

    # the curve is over all nine, or over the person named
    figure = ("reproduce", "cm-vae-figure5", "--data", laid_out("msra")[0], "--out", tmp_path, "--json")
    for more, expected in (((), sum(kept) / 9), (("--protocol", "P3"), kept[3])):
        code, said, error = handvae(*figure, *more)
        assert code == 0, error
        (name,) = json.loads(said)["curves"]
        mean = float(name.partition("mean error ")[2].partition(" mm")[0])
        assert mean == pytest.approx(expected, rel=0.02)
