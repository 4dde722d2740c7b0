"""What became of an upsampled set: how many pictures passed, how well they show their poses, how near they
are to the real ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.evaluation.batch_norm import batch_norm_mode
from handvae.evaluation.consistency import Consistency
from handvae.evaluation.features import Extractor, features_of
from handvae.evaluation.frechet import frechet_distance, gaussian_of
from handvae.evaluation.measure import Measure, PictureProtocol, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.evaluation.picture_distances import FEWEST, set_measures
from handvae.evaluation.plots import Curve, Plot
from handvae.noise import Noise, Stream
from handvae.upsampling.upsample import GeneratedSet, Upsampler

MOST = 2000
"""Pictures of each set that are read or compared, at most."""


@dataclass(frozen=True)
class UpsamplingSummary:
    """Numbers and a figure of an upsampled set."""

    measures: tuple[Measure, ...]
    figure: Plot


def outcome(maker: Upsampler, made: GeneratedSet, extractor: Extractor) -> UpsamplingSummary:
    """Measure a finished set of pictures, beside the real ones of its split."""
    plan = maker.plan
    real = _drawn(maker.rows, Noise(plan.seed, stream=Stream.REPORT_REAL))
    real_errors = 100 * torch.cat([_real_errors(maker, rows) for rows in real.split(BATCH)])
    errors = 100 * made.error
    limit = 100 * plan.max_error
    kinds = {
        "asked": (errors, "all pictures made, against the joints asked for"),
        "kept": (
            errors[made.kept],
            f"pictures that passed (error at most {limit:g} % of hand size), against the joints asked for",
        ),
        "real": (
            real_errors,
            "real pictures of the split against their labels, read by the same detector: the floor of the others",
        ),
    }
    size, relation = maker.system.crop.size_px, maker.detector.relation(maker.system)
    protocols = {
        name: Stated(f"{relation}; {words}; {size} px crop, 2D, no alignment, all joints")
        for name, (_, words) in kinds.items()
    }
    measures = list(_counts(plan.count, made, protocols["asked"], limit))
    for name, (error, _) in kinds.items():
        measures += Consistency(name, error[:, None], protocols[name]).measures()
    over = 100 * float((~(real_errors <= limit)).float().mean())
    definition = f"share of real pictures that the check would drop at {limit:g} % of hand size"
    measures.append(Measure("real_over_limit", over, "%", len(real_errors), protocols["real"], definition))
    if len(made.kept) >= FEWEST and len(maker.rows) >= FEWEST:
        measures += _distances(maker, made, extractor)
    return UpsamplingSummary(
        tuple(measures),
        _figure({name: error for name, (error, _) in kinds.items()}, limit, f"{relation}; {size} px crop"),
    )


def _counts(count: int, made: GeneratedSet, protocol: Stated, limit: float) -> Iterator[Measure]:
    unfound = int(made.error.isnan().sum())
    yield Measure("pictures_asked", float(count), "", count, protocol, "pictures made")
    yield Measure(
        "pictures_kept",
        float(len(made.kept)),
        "",
        count,
        protocol,
        f"read with a mean error of at most {limit:g} % of hand size",
    )
    yield Measure(
        "share_kept", 100 * len(made.kept) / count, "%", count, protocol, "pictures kept of those made"
    )
    yield Measure(
        "pictures_dropped", float(len(made.dropped)), "", count, protocol, "pictures made and not kept"
    )
    keeps = torch.zeros(count, dtype=torch.bool)
    keeps[made.kept] = True
    for kind in sorted(set(made.kinds)):
        of = torch.tensor([one == kind for one in made.kinds])
        definition = f"pictures kept of those made with the pose {kind}"
        yield Measure(
            f"share_kept_{kind}",
            100 * float(keeps[of].float().mean()),
            "%",
            int(of.sum()),
            protocol,
            definition,
        )
    yield Measure(
        "pictures_without_hand",
        float(unfound),
        "",
        count,
        protocol,
        "dropped pictures in which the detector finds no hand at all",
    )


def _drawn(rows: Int[Tensor, " row"], noise: Noise, most: int = MOST) -> Int[Tensor, " some"]:
    """The rows, or `most` of them at random, in their order."""
    chosen = torch.randperm(len(rows), generator=noise.generator)[:most].sort().values
    return rows[chosen]


def _real_errors(maker: Upsampler, rows: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    image, joints = cut(maker.data, rows, maker.system.crop).require_all("image", "joints_2d")
    return maker.check(image, joints)[1]


def _distances(maker: Upsampler, made: GeneratedSet, extractor: Extractor) -> tuple[Measure, ...]:
    """Of kept pictures from as many real ones, all as crops of the generator."""
    crop, most = maker.system.crop, min(MOST, len(made.kept), len(maker.rows))
    seed = maker.plan.seed
    sets = ((maker.data, maker.rows, Stream.REPORT_REAL), (made.data, made.kept, Stream.REPORT_KEPT))
    real, kept = (
        features_of(
            (
                cut(data, some, crop).require("image")
                for some in _drawn(rows, Noise(seed, 1, stream), most).split(BATCH)
            ),
            extractor,
        )
        for data, rows, stream in sets
    )
    split = f"split {maker.plan.split}" if maker.plan.split else "the set"
    generated = f"kept pictures, poses {' and '.join(maker.plan.poses)}, looks {maker.appearances.name}"
    protocol = PictureProtocol(
        extractor.described(maker.system),
        crop.size_px,
        batch_norm_mode(maker.system),
        f"real pictures of {split}",
        generated,
    )
    return *set_measures(real, kept, extractor, protocol, "kept", seed), *_halves(
        real, kept, extractor, protocol, Noise(seed, 2, Stream.REPORT_REAL)
    )


def _halves(
    real: Float[Tensor, "n feature"],
    kept: Float[Tensor, "n feature"],
    extractor: Extractor,
    protocol: PictureProtocol,
    noise: Noise,
) -> Iterator[Measure]:
    """How far one half of the real pictures is from the other, and how far as many kept pictures are: a
    distance depends on numbers."""
    half = len(real) // 2
    order = torch.randperm(len(real), generator=noise.generator)
    one, other = gaussian_of(real[order[:half]]), gaussian_of(real[order[half : 2 * half]])
    name = extractor.distances[0]
    floor = replace(protocol, generated="the other half of them")
    yield Measure(
        f"{name}_real_halves",
        frechet_distance(one, other),
        "",
        half,
        floor,
        "Frechet distance, float64; what is not to be had for less",
    )
    new = gaussian_of(kept[torch.randperm(len(kept), generator=noise.generator)[:half]])
    yield Measure(
        f"{name}_kept_half",
        frechet_distance(one, new),
        "",
        half,
        protocol,
        "Frechet distance, float64; of as many as real_halves",
    )


def _figure(errors: dict[str, Float[Tensor, " picture"]], limit: float, note: str) -> Plot:
    """Shares of pictures up to each error."""
    places = [step * limit / 40 for step in range(81)]
    curves = [
        Curve(name, tuple(places), tuple(100 * float((error <= place).float().mean()) for place in places))
        for name, error in errors.items()
        if len(error)
    ]
    curves.append(Curve("limit of the check", (limit, limit), (0.0, 100.0), "dashed"))
    return Plot(
        "Share of pictures read with at most so much error",
        "mean error, % of hand size",
        "% of pictures",
        tuple(curves),
        note,
    )
