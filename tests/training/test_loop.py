"""The loop: what a phase may move, what a stage freezes, what stops a run."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.hands import Hands
from handvae.data.readers.coco import CocoHands
from handvae.errors import UserError
from handvae.noise import Noise
from handvae.rv.functional import moments
from handvae.systems.srv_vae import SrvVae
from handvae.systems.system import Losses, Phase, Stage, System
from handvae.training import loop
from handvae.training.checkpoint import load_model
from handvae.training.config import Train
from handvae.training.distributed import Ranks
from handvae.training.loop import activate_stage, fit, optimiser_steps, stage_at
from handvae.training.run_folder import Run
from handvae.training.state import Average, State

SHORT = Train(
    steps=6,
    batch=8,
    precision="float32",
    compile=False,
    channels_last=False,
    workers=1,
    log_every=2,
    save_every=3,
)


@dataclass(frozen=True)
class NoConfig:
    size: int = 1


class TwoHalves(System):
    """Two groups whose losses reach both, as Soft-Intro's do; its second stage trains one of them."""

    def __init__(self, spec, crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop = NoConfig(), spec, crop
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.decoder = nn.Linear(4, 3)
        self.seen: list[float] = []

    @property
    def stages(self):
        return (Stage("both", ("encoder", "decoder"), 1.0), Stage("last", ("decoder",), 3.0))

    @property
    def groups(self):
        return {"encoder": (self.encoder,), "decoder": (self.decoder,)}

    def prepare(self, labels: Hands) -> None:
        pass

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        x = noise.normal(5, 3)
        for group in ("encoder", "decoder"):
            loss = (self.decoder(self.encoder(x)) - x).square().mean()
            self.seen.append(float(loss.detach()))
            yield Phase(Losses(loss), group, name=group)

    def summarise(self, batches):
        return {}

    def sample_sheet(self, batch, noise):
        return torch.zeros(3, 4, 4)


@pytest.fixture
def halves(tiny_spec):
    torch.manual_seed(0)
    return TwoHalves(tiny_spec, Crop(32))


def a_run(system, data, out, **changes) -> Run:
    return Run(system, data, Augment(rotation_deg=0.0, scale=0.0, shift=0.0), replace(SHORT, **changes), out)


def test_a_phase_moves_its_own_group_and_the_next_phase_sees_it_moved(halves, tiny_set, tmp_path):
    halves.train()
    state = State.fresh(halves, SHORT)
    before = [p.detach().clone() for p in (halves.encoder[0].weight, halves.decoder.weight)]
    steps = optimiser_steps(
        state,
        halves.step(Hands(), "both", Noise(0)),
        a_run(halves, CocoHands(tiny_set, "train"), tmp_path),
        Ranks(),
        0,
        1e-2,
    )
    phase, norm = next(steps)
    assert phase.group == "encoder"
    assert norm > 0
    assert not torch.equal(halves.encoder[0].weight, before[0])
    assert torch.equal(halves.decoder.weight, before[1])
    assert halves.decoder.weight.grad is None
    moved = halves.encoder[0].weight.detach().clone()
    phase, _ = next(steps)
    assert phase.group == "decoder"
    assert torch.equal(halves.encoder[0].weight, moved)
    assert not torch.equal(halves.decoder.weight, before[1])
    assert halves.seen[1] != halves.seen[0]
    assert next(steps, None) is None


def test_stages_share_the_run_as_they_say(halves):
    names = [stage_at(halves.stages, step / 8).name for step in range(8)]
    assert names == ["both"] * 2 + ["last"] * 6


def test_entering_a_stage_freezes_all_else_statistics_included(halves):
    activate_stage(halves, halves.stages[1])
    assert not any(p.requires_grad for p in halves.encoder.parameters())
    assert all(p.requires_grad for p in halves.decoder.parameters())
    mean = halves.encoder[1].running_mean.clone()
    halves.encoder(torch.randn(5, 3) + 9)
    assert torch.equal(halves.encoder[1].running_mean, mean)
    activate_stage(halves, halves.stages[0])
    halves.encoder(torch.randn(5, 3) + 9)
    assert not torch.equal(halves.encoder[1].running_mean, mean)


def test_a_run_leaves_its_whole_folder(build, tiny_set, tmp_path):
    path = fit(a_run(build(), CocoHands(tiny_set, "train"), tmp_path / "run"), Ranks())
    found = {p.name for p in (tmp_path / "run").iterdir()}
    assert found == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "model.safetensors",
        "state.pt",
        "samples",
    }
    assert path == tmp_path / "run" / "model.safetensors"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2


def test_an_early_stop_ends_the_run_inside_its_schedule(build, tiny_set, tmp_path):
    data = CocoHands(tiny_set, "train")
    fit(a_run(build(), data, tmp_path / "whole", log_every=1), Ranks())
    fit(a_run(build(), data, tmp_path / "early", log_every=1, stop_at=4), Ranks())
    rates = [
        [json.loads(line)["lr"] for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines()]
        for n in ("whole", "early")
    ]
    assert len(rates[1]) == 4
    assert rates[1] == rates[0][:4]
    assert (tmp_path / "early" / "model.safetensors").is_file()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_written_model_is_the_average_of_the_weights(ema, build, tiny_set, tmp_path):
    fit(a_run(build(), CocoHands(tiny_set, "train"), tmp_path / "run", ema=ema), Ranks())
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    written = load_file(tmp_path / "run" / "model.safetensors")
    name = "decoder.to_rgb.weight"
    assert torch.equal(written[name], state["average"][name])
    assert torch.equal(written[name], state["system"][name]) == (ema == 0)
    assert not torch.equal(written[name], build().state_dict()[name])


def test_the_written_model_keeps_the_moments_of_its_appearances(build, tiny_set, tmp_path):
    data = CocoHands(tiny_set, "train")
    model = load_model(fit(a_run(build(), data, tmp_path / "run"), Ranks()))
    crops = cut(data, torch.arange(len(data)), Crop(32))
    with torch.no_grad():
        means = model.system.encode(crops.image).appearance.mean
    torch.testing.assert_close(model.system.appearance_mean, means.mean(0), rtol=0, atol=1e-4)
    assert model.header.summary["appearance_spread_mean"] == pytest.approx(
        means.std(0).mean().item(), abs=1e-4
    )


def test_the_schedule_sets_the_rate_of_every_step(build, tiny_set, tmp_path):
    """A rate of a billionth leaves the weights where they were, to a few billionths."""
    data = CocoHands(tiny_set, "train")
    run = a_run(build(), data, tmp_path / "run", lr=1e-9, warmup_steps=0, ema=0.0)
    fit(run, Ranks())
    written, before = load_file(tmp_path / "run" / "model.safetensors"), build().state_dict()
    moved = max((written[name] - before[name]).abs().max().item() for name, _ in build().named_parameters())
    assert 0 < moved < 1e-6


def test_a_loss_that_is_not_a_number_stops_the_run_and_is_named(build, tiny_set, tmp_path, monkeypatch):
    honest = SrvVae.objective

    def poisoned(self, *arguments):
        losses = honest(self, *arguments)
        return replace(losses, rate=losses.rate * float("nan"), total=losses.total * float("nan"))

    monkeypatch.setattr(SrvVae, "objective", poisoned)
    with pytest.raises(UserError, match="step 0: total, rate became NaN"):
        fit(
            a_run(build(), CocoHands(tiny_set, "train"), tmp_path / "run", precision="bf16-variances"),
            Ranks(),
        )
    assert not moments._rounded  # a run that fails leaves the process as it found it
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_where_compiling_fails_the_run_goes_on_in_eager_mode(build, tiny_set, tmp_path, monkeypatch, capsys):
    from torch._dynamo.exc import TorchDynamoException

    def broken(function, **options):
        def call(*arguments):
            raise TorchDynamoException("no C++ compiler")

        return call

    data = CocoHands(tiny_set, "train")
    plain = fit(a_run(build(), data, tmp_path / "plain"), Ranks())
    monkeypatch.setattr(loop.torch, "compile", broken)
    fallen = fit(a_run(build(), data, tmp_path / "fallen", compile=True), Ranks())
    said = capsys.readouterr().out
    plain_said, _, compiled_said = said.partition(
        "compiling before the first step"
    )  # a minute without a word looks like a fault
    assert "step 6/6" in plain_said
    assert "objective cannot be compiled here (no C++ compiler)" in compiled_said
    assert fallen.read_bytes() == plain.read_bytes()


def test_the_average_follows_its_formula_and_copies_whole_numbers():
    module = nn.BatchNorm1d(1)
    average = Average(module, decay=0.9)
    wanted = 1.0
    for step, value in enumerate([3.0, -1.0, 2.0]):
        with torch.no_grad():
            module.weight.fill_(value)
            module.num_batches_tracked += 1
        average.update(module, step)
        wanted += (value - wanted) * (1 - min(0.9, (step + 1) / (step + 51)))
    assert average.values["weight"].item() == pytest.approx(wanted, rel=1e-6)
    assert average.values["num_batches_tracked"].item() == 3
    with average.inside(module):
        assert module.weight.item() == pytest.approx(wanted, rel=1e-6)
        assert not module.training
    assert module.weight.item() == 2.0


def test_a_relative_clip_bounds_a_sudden_gradient(halves, tiny_set, tmp_path):
    halves.train()
    run = a_run(halves, CocoHands(tiny_set, "train"), tmp_path, clip=1.0)
    state = State.fresh(halves, run.train)
    state.norms = {"encoder": 1e-3, "decoder": 1e-3}
    for phase, norm in optimiser_steps(state, halves.step(Hands(), "both", Noise(0)), run, Ranks(), 5, 0.0):
        clipped = torch.nn.utils.get_total_norm(
            [p.grad for p in state.parameters[phase.group] if p.grad is not None]
        )
        assert norm > 1e-2
        assert clipped.item() == pytest.approx(1e-3, rel=1e-2)
