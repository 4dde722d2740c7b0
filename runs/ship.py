"""Turn a run into a shipped model: float16 weights and a model card with numbers measured on them.

python runs/ship.py RUN NAME --dataset PHOTOS
python runs/ship.py RUN NAME --dataset RENDERED --spread-from OTHER_HANDS
python runs/ship.py RUN finder-256 --dataset WILD/pictures.json --without-hands BACKGROUNDS
"""

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from handvae.data.open import open_data
from handvae.errors import UserError
from handvae.evaluation.study import Study
from handvae.upsampling.naming import named_appearances
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.spread_scales import fit_spread_scales
from handvae.evaluation.study_report import report_studies
from handvae.nets.picture_encoders import pretrained_detector
from handvae.systems.cm_vae import CmVae
from handvae.systems.hand_finder import HandFinder
from handvae.systems.hand_reader import HandReader
from handvae.data.over_photos import Photos
from handvae.data.subset import with_known_sides
from handvae.evaluation.finding import measure_false, measure_found
from handvae.evaluation.measure import Measure
from handvae.inference.finding import HandSearch
from handvae.systems.da_vae import DaVae
from handvae.systems.detector import Detector
from handvae.systems.pose_appearance import PoseAppearanceVae
from handvae.systems.system import Generator, PoseEstimator, System
from handvae.training.checkpoint import WEIGHTS, Model, keep_spread_scales, load_model, save_model
from handvae.training.appearances import read_named_appearances, write_named_appearances

CARD = """# {name}

Trained as `handvae train {preset}` ({kind}), {size} px, {parameters:.1f} M parameters,
{steps} steps, float16. Made {date} by `runs/ship.py`.

- **Reads**: {reads}.
- **Gives**: {gives}.
- **Trained on**: {dataset}, {count} hands an epoch. {trained_on}
- **Licence**: Apache-2.0.

{tables}
## Measured on the training pictures

{summary}
"""

PHOTOS = """`photos`: Sign Language Digits, Ankara Ayranci Anadolu High School, Apache-2.0; plain
  light backgrounds, ten gestures, palm towards the camera, mostly light skin. Labels are pseudo-labels of another detector.
- **Not for**: identifying people; hands seen from the back, cluttered pictures, dark skin, gloves: it has seen none or few."""


TABLE = """## Measured on split {split} of {dataset} (people it never saw)

| metric | value | N | protocol |
|---|---|---|---|
{rows}
"""

NAMES = """
## Named appearances

Names tell of the pictures, their light included, not of people; docs/appearances.md says how they are measured.

"""


def described(model: Model) -> tuple[str, str, str]:
    """What kind of system a model is, what it reads and what it gives."""
    system = model.system
    crop = f"a square RGB crop of one {system.spec.sides} hand (the joints' box times {system.crop.margin}); other hands are mirrored first"
    if isinstance(system, HandFinder):
        whole = f"a whole RGB crop: the picture, shrunk to {crop_px(system)} px"
        return "centres of hands", whole, "the hands of a picture: middle, size, turn, side and score"
    spread = spread_of(model.pose_estimator)
    flat = f"21 joints in 2D with a spread that is {spread}"
    match system:
        case PoseAppearanceVae(config=config):
            kind = f"{config.latent} latent, pose input {config.pose_input}"
            return kind, crop, f"{flat}; pictures from 21 joints and an appearance"
        case HandReader():
            whole = f"a square RGB crop of a left or right hand (the joints' box times {system.crop.margin}), not mirrored"
            depth = "depth relative to the wrist, in lengths of the bone 9-10, which makes 3D joints"
            return "2.5D", whole, f"whether there is a hand, which side it is, {flat}, {depth}"
        case Detector(config=config, feature_dims=dims):
            return (
                f"{config.head} head, {config.loss} loss",
                crop,
                f"{flat}; {dims} features of a picture for Frechet distances",
            )
        case CmVae(config=config):
            kind = f"cm-VAE, pairs {', '.join('-'.join(pair) for pair in config.pairs)}, KL times {config.kl_weight:g}"
            joints = f"21 2D joints of a left or right hand in the crop that is cut round them (their box times {system.crop.margin})"
            reads = {"rgb": crop, "2d": joints}
            solid = f"21 3D joints relative to the {config.root}, in lengths of the bone 9-10, with the posterior's spread, {spread}"
            return kind, "; ".join(reads[modality] for modality in config.encoded if modality in reads), solid
        case DaVae(config=config):
            behind = "".join(f" behind {name}" for name in pretrained_detector(config.encoder).values())
            kind = f"da-VAE, z of {' + '.join(map(str, config.dims))}{behind}"
            solid = f"21 3D joints relative to the {config.root}, in lengths of the bone 9-10, with the posterior's spread, {spread}"
            return (
                kind,
                crop,
                f"{solid}; the visible surface as {config.grid**2} points; the hand before black",
            )
        case _:
            raise UserError(
                model.path,
                f"is a {model.header.system}, which has no card yet",
                "describe it in runs/ship.py",
            )


def crop_px(system: System) -> int:
    """Side of its pictures."""
    return system.crop.size_px


def found_tables(name: str, folders: list[Path], split: str, empty: Path | None) -> list[str]:
    """Tables of a finder: labelled hands that it finds, and what it finds where there is none."""
    search, tables = HandSearch.open(name), []
    for folder in folders:
        data = open_data(folder, split)
        tables.append(
            TABLE.format(split=split, dataset=data.spec.name, rows=rows_of(measure_found(search, data, 0.5)))
        )
    if empty is not None:
        rows = rows_of(measure_false(search, Photos(empty), 0.5))
        tables.append(
            TABLE.format(split="held back", dataset=empty.name, rows=rows).replace(
                " (people it never saw)", ""
            )
        )
    return tables


def rows_of(measures: Sequence[Measure]) -> str:
    """Rows of a table."""
    return "\n".join(
        f"| {m.name} | {m.value:.4g} {m.unit} | {m.n} | {m.terms.replace('|', '&#124;')} |" for m in measures
    )


def spread_of(system: PoseEstimator) -> str:
    """What its spread is."""
    if not system.spread_scales:
        return "not calibrated"
    known = ", ".join(f"{name} on {scale.fitted_on}" for name, scale in system.spread_scales.items())
    return f"calibrated ({known}), too narrow for hands that are harder than those"


def for_reading(system: CmVae) -> CmVae:
    """What poses are read with: the encoders of what people have, and the decoder of 3D joints."""
    pairs = tuple(f"{modality}-3d" for modality in system.config.encoded if modality != "3d")
    small = CmVae(replace(system.config, variant=0, more_pairs=pairs), system.spec, system.crop)
    known = system.state_dict()
    small.load_state_dict({name: known[name] for name in small.state_dict()})
    return small.eval()


def with_own_mask(system: DaVae, name: str) -> DaVae:
    """The model with its mask network named after the shipped model, not after a run folder."""
    renamed = DaVae(replace(system.config, mask=name), system.spec, system.crop)
    renamed.load_state_dict(system.state_dict())
    return renamed.eval()


def main() -> None:
    """Write the weights and the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--dataset", type=Path, nargs="+", required=True, help="one or several to measure on")
    parser.add_argument("--split", default="test")
    parser.add_argument(
        "--spread-from",
        type=Path,
        help="hands to calibrate the spread on, all splits; neither trained nor measured on",
    )
    parser.add_argument(
        "--without-hands", type=Path, help="of a finder: photos without hands that it was not trained on"
    )
    parser.add_argument(
        "--trained-on",
        default=PHOTOS,
        help="for the card: what the pictures were, and what the model is not for",
    )
    options = parser.parse_args()
    model = load_model(options.run)
    header, system, (kind, reads, _) = model.header, model.system, described(model)
    if isinstance(system, CmVae) and len(system.config.encoded) > 1:
        system = for_reading(system)
    if isinstance(system, DaVae):
        system = with_own_mask(system, options.name)
    target = WEIGHTS / f"{options.name}.safetensors"
    save_model(
        target, system, steps=header.steps, preset=header.preset, summary=header.summary, dtype=torch.float16
    )
    if options.spread_from is not None:
        fitted = fit_spread_scales(
            load_model(target).pose_estimator,
            open_data(options.spread_from, None),
            options.spread_from.resolve().name,
        )
        keep_spread_scales(load_model(target), {name: found.scale for name, found in fitted.items()})
    _, _, gives = described(load_model(target))
    tables = []
    if isinstance(system, HandFinder):
        tables = found_tables(options.name, options.dataset, options.split, options.without_hands)
    else:
        shipped = load_model(target).pose_estimator
        for folder in options.dataset:
            data = with_known_sides(open_data(folder, options.split), folder)
            measures = (
                report_studies([Study(options.name, shipped, data, predict_hands(shipped, data))], None)
                .columns[0]
                .measures
            )
            tables.append(TABLE.format(split=options.split, dataset=data.spec.name, rows=rows_of(measures)))
    card = CARD.format(
        name=options.name, preset=header.preset, kind=kind, reads=reads, gives=gives, trained_on=options.trained_on,
        size=system.crop.size_px, parameters=sum(p.numel() for p in system.parameters()) / 1e6, steps=header.steps,
        date=datetime.date.today(), dataset=system.spec.name, count=system.spec.count,
        tables="\n".join(tables), summary="\n".join(f"- {name}: {value:.3f}" for name, value in header.summary.items()),
    )  # fmt: skip
    if isinstance(system, Generator):
        write_named_appearances(target, named_appearances(load_model(target).generator))
        appearances = read_named_appearances(load_model(target))
        card += NAMES
        card += (
            "\n".join(f"- `{name}`: {appearance.about}" for name, appearance in appearances.items()) + "\n"
        )
    target.with_suffix(".md").write_text(card)
    print(json.dumps({"weights": str(target), "megabytes": round(target.stat().st_size / 1e6, 2)}))


if __name__ == "__main__":
    main()
