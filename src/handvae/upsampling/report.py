"""Measures of an upsampled set: how many pictures passed, how well they show poses, how real they are."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.evaluation.batch_norm import batch_norm_mode
from handvae.evaluation.consistency import Consistency
from handvae.evaluation.features import Extractor, features_of
from handvae.evaluation.frechet import frechet_distance, gaussian_of
from handvae.evaluation.measure import Measure, PictureProtocol, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.evaluation.picture_distances import FEWEST, set_measures
from handvae.evaluation.plots import Curve, Plot
from handvae.noise import Noise, Stream
from handvae.upsampling.shards import GeneratedSet
from handvae.upsampling.upsample import Upsampler

MOST = 2000
"""Pictures of each set that are read or compared, at most."""


@dataclass(frozen=True)
class UpsamplingSummary:
    """Numbers and a figure of an upsampled set."""

    measures: tuple[Measure, ...]
    figure: Plot


def summarise(maker: Upsampler, generated: GeneratedSet, extractor: Extractor) -> UpsamplingSummary:
    """Measure a finished set of pictures, and the real ones of its split in the same way."""
    plan = maker.plan
    real_rows = _some(maker.rows, Noise(plan.seed, stream=Stream.REPORT_REAL))
    real_errors = torch.cat([_real_errors(maker, rows) for rows in real_rows.split(BATCH)])

    # all errors in % of hand size
    limit = 100 * plan.max_error
    errors = {
        "asked": 100 * generated.error,
        "kept": 100 * generated.error[generated.kept],
        "real": 100 * real_errors,
    }
    meanings = {
        "asked": "all pictures made, against the joints asked for",
        "kept": f"pictures that passed (error at most {limit:g} % of hand size), against the joints "
        "asked for",
        "real": "real pictures of the split against their labels, read by the same detector: the floor of "
        "the others",
    }
    size, relation = maker.system.crop.size_px, maker.detector.relation(maker.system)
    protocols = {}
    for name, meaning in meanings.items():
        protocols[name] = Stated(f"{relation}; {meaning}; {size} px crop, 2D, no alignment, all joints")

    measures = list(_counts(plan.count, generated, protocols["asked"], limit))
    for name, error in errors.items():
        measures += Consistency(name, error[:, None], protocols[name]).measures()

    measures.append(_real_over_limit(errors["real"], limit, protocols["real"]))
    if min(len(generated.kept), len(maker.rows)) >= FEWEST:
        measures += _distances(maker, generated, extractor)

    figure = _figure(errors, limit, f"{relation}; {size} px crop")
    return UpsamplingSummary(tuple(measures), figure)


def _real_errors(maker: Upsampler, rows: Int[Tensor, " row"]) -> Float[Tensor, " row"]:
    """Errors of the detector on real pictures, over hand size."""
    image, joints = cut(maker.data, rows, maker.system.crop).require_all("image", "joints_2d")
    _, errors = maker.check(image, joints)
    return errors


def _some(rows: Int[Tensor, " row"], noise: Noise, most: int = MOST) -> Int[Tensor, " some"]:
    """The rows, or a random `most` of them, in their order."""
    chosen = torch.randperm(len(rows), generator=noise.generator)[:most].sort().values
    return rows[chosen]


# ----------------------------------------------------------------------------------------------------- counts


def _counts(count: int, generated: GeneratedSet, protocol: Stated, limit: float) -> Iterator[Measure]:
    """How many pictures were made, kept and dropped, and the share kept of each kind of pose."""
    kept, dropped = len(generated.kept), len(generated.dropped)
    passing = f"read with a mean error of at most {limit:g} % of hand size"
    yield Measure("pictures_asked", float(count), "", count, protocol, "pictures made")
    yield Measure("pictures_kept", float(kept), "", count, protocol, passing)
    yield Measure("share_kept", 100 * kept / count, "%", count, protocol, "pictures kept of those made")
    yield Measure("pictures_dropped", float(dropped), "", count, protocol, "pictures made and not kept")

    is_kept = torch.zeros(count, dtype=torch.bool)
    is_kept[generated.kept] = True

    for kind in sorted(set(generated.kinds)):
        of_kind = torch.tensor([one == kind for one in generated.kinds])
        share = 100 * float(is_kept[of_kind].float().mean())
        definition = f"pictures kept of those made with the pose {kind}"
        yield Measure(f"share_kept_{kind}", share, "%", int(of_kind.sum()), protocol, definition)

    missed = int(generated.error.isnan().sum())
    definition = "dropped pictures in which the detector finds no hand at all"
    yield Measure("pictures_without_hand", float(missed), "", count, protocol, definition)


def _real_over_limit(errors: Float[Tensor, " picture"], limit: float, protocol: Stated) -> Measure:
    """The share of real pictures that the check would drop; a missed hand counts."""
    share = 100 * float((~(errors <= limit)).float().mean())
    definition = f"share of real pictures that the check would drop at {limit:g} % of hand size"
    return Measure("real_over_limit", share, "%", len(errors), protocol, definition)


# -------------------------------------------------------------------------------------------------- distances


def _distances(maker: Upsampler, generated: GeneratedSet, extractor: Extractor) -> list[Measure]:
    """Distances of kept pictures from as many real ones, all as crops of the generator."""
    plan, system = maker.plan, maker.system
    most = min(MOST, len(generated.kept), len(maker.rows))

    def features(data: HandData, rows: Int[Tensor, " row"], stream: Stream) -> Float[Tensor, "n feature"]:
        chosen = _some(rows, Noise(plan.seed, 1, stream), most)
        batches = (cut(data, batch, system.crop).require("image") for batch in chosen.split(BATCH))
        return features_of(batches, extractor)

    real = features(maker.data, maker.rows, Stream.REPORT_REAL)
    kept = features(generated.data, generated.kept, Stream.REPORT_KEPT)

    split = f"split {plan.split}" if plan.split else "the set"
    poses = " and ".join(plan.poses)
    protocol = PictureProtocol(
        extractor=extractor.described(system),
        size_px=system.crop.size_px,
        batch_norm=batch_norm_mode(system),
        real=f"real pictures of {split}",
        generated=f"kept pictures, poses {poses}, appearances {maker.appearances.name}",
    )
    whole = set_measures(real, kept, extractor, protocol, "kept", plan.seed)
    halves = _halves(real, kept, extractor, protocol, Noise(plan.seed, 2, Stream.REPORT_REAL))

    return [*whole, *halves]


def _halves(
    real: Float[Tensor, "n feature"],
    kept: Float[Tensor, "n feature"],
    extractor: Extractor,
    protocol: PictureProtocol,
    noise: Noise,
) -> Iterator[Measure]:
    """The distance of one half of the real pictures from the other, and from as many kept pictures.

    A Frechet distance depends on the number of pictures: these two may be compared.
    """
    half = len(real) // 2
    order = torch.randperm(len(real), generator=noise.generator)
    first = gaussian_of(real[order[:half]])
    second = gaussian_of(real[order[half : 2 * half]])
    new = gaussian_of(kept[torch.randperm(len(kept), generator=noise.generator)[:half]])

    name = extractor.distances[0]
    yield Measure(
        name=f"{name}_real_halves",
        value=frechet_distance(first, second),
        unit="",
        n=half,
        protocol=replace(protocol, generated="the other half of them"),
        definition="Frechet distance, float64; the floor of kept_half",
    )
    yield Measure(
        name=f"{name}_kept_half",
        value=frechet_distance(first, new),
        unit="",
        n=half,
        protocol=protocol,
        definition="Frechet distance, float64; of as many as real_halves",
    )


# ----------------------------------------------------------------------------------------------------- figure


def _figure(errors: dict[str, Float[Tensor, " picture"]], limit: float, note: str) -> Plot:
    """Shares of pictures up to each error, to twice the limit."""
    places = tuple(step * limit / 40 for step in range(81))
    curves = []
    for name, error in errors.items():
        if len(error):
            shares = tuple(100 * float((error <= place).float().mean()) for place in places)
            curves.append(Curve(name, places, shares))

    curves.append(Curve("limit of the check", (limit, limit), (0.0, 100.0), "dashed"))
    return Plot(
        title="Share of pictures read with at most this error",
        x_label="mean error, % of hand size",
        y_label="% of pictures",
        curves=tuple(curves),
        note=note,
    )
