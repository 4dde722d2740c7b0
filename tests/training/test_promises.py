"""What training promises: runs of the asked length, nothing resumed that is not there, honest fine-tunes."""

from dataclasses import replace

import pytest
import torch

from handvae.apps.train import full_names
from handvae.apps.train_options import parse_options
from handvae.data.crop import cut
from handvae.data.mixture import Mixture
from handvae.data.readers.coco import CocoHands
from handvae.errors import UserError
from handvae.noise import Noise, Stream
from handvae.training.checkpoint import load_model
from handvae.training.config import Train
from handvae.training.held_back import LEAST, hold_back, measure
from handvae.training.presets import PRESETS


def configuration(name: str, *words: str):
    return parse_options(name, full_names(words)).configuration


# ------------------------------------------------------------------------------------------- length of a run


@pytest.mark.parametrize("flag", ["--steps", "--train.steps"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_as_many_steps_as_asked_for(name, flag):
    train = configuration(name, flag, "37").train
    assert train.total_steps(1000) == 37


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_as_many_epochs_as_asked_for(name):
    train = configuration(name, "--train.epochs", "3").train
    assert train.total_steps(1000) == max(1, round(3000 / train.batch))


def test_steps_and_epochs_together_are_refused():
    with pytest.raises(UserError, match=r"--steps and --train\.epochs"):
        full_names(["--steps", "5", "--train.epochs", "2"])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_rises_for_at_most_a_tenth_of_a_short_run(name):
    train = configuration(name, "--steps", "60").train
    rates = [train.lr_at(step, 1000) for step in range(60)]
    assert max(rates) == max(rates[:7])
    assert rates[6] > 0.9 * max(rates)


@pytest.mark.parametrize(("steps", "stop_at", "rise"), [(2000, None, 200), (60, None, 6), (20000, 100, 10)])
def test_the_rise_ends_in_time(steps, stop_at, rise):
    train = Train(steps=steps, stop_at=stop_at, warmup_steps=200, schedule="constant", lr=1.0)
    assert train.lr_at(rise - 1, 1000) == 1
    assert train.lr_at(rise - 2, 1000) < 1


# -------------------------------------------------------------------------------------------------- resuming


def words(tiny_set, tiny_flags, out, *more: object) -> list[object]:
    return ["train", "photos-64", "--data.root", tiny_set, "--out", out, *tiny_flags, *more]


def test_nothing_cannot_be_resumed(tiny_set, tiny_flags, refused, tmp_path):
    line = refused(*words(tiny_set, tiny_flags, tmp_path / "mistyped", "--steps", "2", "--resume"))
    assert "no run" in line
    assert "--resume-or-start" in line
    assert not (tmp_path / "mistyped").exists()


def test_a_run_is_started_where_that_is_allowed_and_then_resumed(tiny_set, tiny_flags, handvae, tmp_path):
    run = words(tiny_set, tiny_flags, tmp_path / "run", "--steps", "3", "--resume-or-start")
    assert handvae(*run)[0] == 0
    state = (tmp_path / "run" / "state.pt").read_bytes()
    assert handvae(*run)[0] == 0
    assert (tmp_path / "run" / "state.pt").read_bytes() == state


# ------------------------------------------------------------------------------------------------- fine-tunes


def test_people_are_held_back_whole(tiny_set):
    data = CocoHands(tiny_set)
    parts = hold_back(data)
    people = [
        set(part.labels(torch.arange(len(part))).require("subject").tolist())
        for part in (parts.train, parts.held)
    ]

    assert people[0].isdisjoint(people[1])
    assert parts.people == len(people[1]) == 1
    assert len(parts.train) + len(parts.held) == len(data)


def test_a_small_set_is_trained_on_whole(small_set):
    data = CocoHands(small_set())
    assert len(data) < LEAST
    assert hold_back(data).held is None
    assert hold_back(data).train is data


def test_without_people_the_last_hands_are_held_back(tiny_set):
    data = Mixture([CocoHands(tiny_set), CocoHands(tiny_set)])
    data.spec = replace(data.spec, modalities=tuple(m for m in data.spec.modalities if m != "subject"))
    parts = hold_back(data)
    assert len(parts.held) == 10
    assert parts.held.name(9) == data.name(len(data) - 1)


def test_the_measure_is_the_loss_of_each_hand_once(tiny_set, tiny_model):
    data = CocoHands(tiny_set)
    system = load_model(tiny_model).system
    before = {name: value.clone() for name, value in system.state_dict().items()}
    first, second = measure(system, data), measure(system, data)

    assert first == second
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
    total = 0.0
    for number, rows in enumerate(torch.arange(len(data)).split(32)):
        batch = cut(data, rows, system.crop)
        with torch.no_grad():
            phase = next(iter(system.step(batch, system.stages[-1].name, Noise(0, number, Stream.SYSTEM))))
        total += float(phase.losses.total) * len(rows)
    assert first == pytest.approx(total / len(data), rel=1e-5)


def test_a_fine_tune_that_helps_says_so(tiny_set, tiny_flags, handvae, tmp_path):
    assert handvae(*words(tiny_set, tiny_flags, tmp_path / "first", "--steps", "2"))[0] == 0
    more = ("--steps", "60", "--init", tmp_path / "first" / "model.safetensors")
    code, said, error = handvae(*words(tiny_set, tiny_flags, tmp_path / "second", *more))

    assert (code, error) == (0, "")
    assert "held back" in said
    assert "better" in said


def test_a_fine_tune_that_harms_warns(tiny_set, tiny_flags, handvae, tmp_path):
    assert handvae(*words(tiny_set, tiny_flags, tmp_path / "first", "--steps", "60"))[0] == 0
    more = ("--steps", "4", "--lr", "0.5", "--init", tmp_path / "first" / "model.safetensors")
    code, _, error = handvae(*words(tiny_set, tiny_flags, tmp_path / "second", *more))

    assert code == 0
    assert "worse than before" in error
