"""What the latent spaces of cm-VAE and dVAE show of hands: modalities that mix or do not, inputs fused,
factors that stay apart."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from sklearn.metrics import silhouette_score
from torch import Tensor

from handvae.data.crop import PixelField, cut
from handvae.data.dataset import HandData
from handvae.data.hands import Hands
from handvae.evaluation.measure import Measure, Stated
from handvae.evaluation.model_predictions import BATCH
from handvae.hand import scale_bone
from handvae.noise import Noise, Stream, derangement
from handvae.systems.cm_vae import CmVae, ModalityName, pixel_fields
from handvae.systems.dvae_generator import DvaeGenerator
from handvae.systems.dvae_layers import BACKGROUND, DvaeLayers
from handvae.systems.dvae_pose import DvaePose
from handvae.systems.system import Input, PoseEstimator

MOST = 1000
"""Test hands, evenly over the split."""
LACKING = 0.5
"""Share of the hands that lack a modality in the test of robustness."""
HIDDEN = 0.3
"""Share of the 2D joints that are hidden in it."""


def batches(
    data: HandData, system: PoseEstimator, fields: Sequence[PixelField], most: int = MOST
) -> Iterator[Hands]:
    """Crops of hands that lie evenly over the data."""
    rows = torch.linspace(0, len(data) - 1, min(most, len(data))).long()
    for part in rows.split(BATCH):
        yield cut(data, part, system.crop, fields=tuple(fields))


@torch.no_grad()
def codes(
    system: CmVae, data: HandData, most: int = MOST
) -> dict[ModalityName, Float[Tensor, "hand latent"]]:
    """Posterior means, by each modality that has an encoder, of the same hands: those with all labels."""
    found: dict[ModalityName, list[Tensor]] = {name: [] for name in system.config.encoded}
    for hands in batches(data, system, pixel_fields(system.config.encoded), most):
        whole = system.labelled(hands).all(1)
        for name, kept in found.items():
            kept.append(system.encode(hands, name).mean[whole])
    return {name: torch.cat(kept) for name, kept in found.items()}


def modality_silhouette(system: PoseEstimator, data: HandData) -> tuple[Measure, ...]:
    """How far the codes of one modality lie from those of the others: 0 mixed, 1 apart; nothing of systems
    with one encoder."""
    if not isinstance(system, CmVae) or len(system.config.encoded) < 2:
        return ()
    found = codes(system, data)
    count = len(found[system.config.input])
    protocol = Stated(f"posterior means of the same test hands by {', '.join(found)}; Euclidean")
    return (
        Measure("modality_silhouette", silhouette(found), "", count, protocol, "mean silhouette by modality"),
    )


def silhouette(found: dict[ModalityName, Float[Tensor, "hand latent"]]) -> float:
    """Mean of (b - a) / max(a, b) over codes: a the mean distance to codes of the same modality, b to those
    of the nearest other."""
    which = np.repeat(np.arange(len(found)), [len(points) for points in found.values()])
    return (
        float(silhouette_score(torch.cat(list(found.values())).numpy(), which))
        if len(which) > len(found)
        else float("nan")
    )


# -------------------------------------------------------------------------------------------- inputs together


@torch.no_grad()
def fused(system: PoseEstimator, data: HandData, seed: int = 0) -> tuple[Measure, ...]:
    """Mean EPE by what is read: each input alone, all sets of them together, and with inputs that are missing
    or damaged."""
    if not isinstance(system, CmVae) or len(system.inputs) < 2:
        return ()

    ways: list[tuple[str, tuple[Input, ...], bool]] = [
        (" and ".join(some), some, False)
        for count in range(1, len(system.inputs) + 1)
        for some in combinations(system.inputs, count)
    ]
    if "joints_2d" in system.inputs:
        hidden = f"{HIDDEN:.0%} of the joints hidden"
        ways += [(f"joints_2d, {hidden}", ("joints_2d",), True), (f"all, {hidden}", system.inputs, True)]

    totals = {said: torch.zeros(2, dtype=torch.float64) for said, _, _ in ways}
    lacking = f"all, {LACKING:.0%} of the hands without each but the first"
    totals[lacking] = torch.zeros(2, dtype=torch.float64)
    fields: list[PixelField] = [name for name in ("image", "depth") if name in system.inputs]

    for number, hands in enumerate(batches(data, system, fields)):
        noise = Noise(seed, number, Stream.LATENT)
        spoilt = _hidden(hands, noise)
        for said, inputs, damaged in ways:
            totals[said] += _sums(system, hands, system.predict(spoilt if damaged else hands, inputs).joints)
        without = _without(hands, noise)
        totals[lacking] += _sums(system, hands, system.predict(without, system.inputs).joints)

    protocol = Stated(
        f"root {system.root}, scale of the truth, no alignment, {min(MOST, len(data))} test hands"
    )
    return tuple(
        Measure(f"fused_{number}", float(total / count), "mm", min(MOST, len(data)), protocol, said)
        for number, (said, (total, count)) in enumerate(totals.items())
    )


def _sums(system: CmVae, hands: Hands, joints: Float[Tensor, "batch joint 3"]) -> Float[Tensor, "2"]:
    """Summed errors in mm, and how many."""
    valid, unit = system.labelled(hands), system.unit_mm
    solid = hands.require("joints_3d")
    scale = scale_bone(solid) if unit is None else torch.full_like(solid[:, 0, 0], unit)
    errors = (joints - system.joints_of(hands)).norm(dim=2) * scale[:, None]
    return torch.stack([errors[valid].double().sum(), valid.sum().double()])


def _hidden(hands: Hands, noise: Noise) -> Hands:
    """Some 2D joints are not known."""
    valid = hands.require("joint_valid")
    return replace(hands, joint_valid=valid & (noise.uniform(*valid.shape) >= HIDDEN))


def _without(hands: Hands, noise: Noise) -> Hands:
    """Some hands have no 2D joints, others no depth."""
    valid = hands.require("joint_valid")
    changes: dict[str, Tensor] = {"joint_valid": valid & (noise.uniform(len(hands)) >= LACKING)[:, None]}
    if hands.depth is not None:
        changes["depth"] = hands.depth * (noise.uniform(len(hands)) >= LACKING)[:, None, None, None]
    return replace(hands, **changes)


# --------------------------------------------------------------------------------------------- dVAE's factors


@torch.no_grad()
def canonical_errors(system: PoseEstimator, data: HandData) -> tuple[Measure, ...]:
    """Error of canonical poses that are read from pictures, and of viewpoints; nothing of systems that read
    none."""
    if not isinstance(system, DvaePose):
        return ()

    errors, angles = [], []
    for hands in batches(data, system, ("image",)):
        (image, solid) = hands.require_all("image", "joints_3d")
        known, truth = system.targets(hands)
        read = system.factors_of(image)
        errors.append(((read.canonical - truth.pose).norm(dim=2) * scale_bone(solid)[:, None])[known])
        trace = (read.viewpoint.mT @ truth.viewpoint).diagonal(dim1=1, dim2=2).sum(1)
        angles.append(torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))[known])

    pooled = torch.cat(errors)
    protocol = Stated(
        f"canonical frame, root {system.root}, scale of the truth, no alignment, all labelled joints"
    )
    turned = Stated("angle between the viewpoint read and the true one")
    return (
        Measure(
            "canonical_epe", float(pooled.mean()), "mm", len(pooled), protocol, "mean over joints and hands"
        ),
        Measure(
            "viewpoint_error_median",
            float(torch.cat(angles).median()),
            "degrees",
            len(pooled),
            turned,
            "median over hands",
        ),
    )


@torch.no_grad()
def content_swap(system: PoseEstimator, data: HandData, seed: int = 0) -> tuple[Measure, ...]:
    """How far the pose moves when another hand's content takes the place of the own; nothing of systems
    without contents.

    `content_swap`: poses read from two pictures that are made of one pose, with the own content and with
    another's. `content_swap_decoded`:
    poses decoded from the latent itself, where algorithm 1 cannot leak.
    """
    if not isinstance(system, DvaeGenerator):
        return ()

    moved, decoded = [], []
    for number, hands in enumerate(batches(data, system, ("image",))):
        (image, solid) = hands.require_all("image", "joints_3d")
        if len(hands) < 2:
            continue

        own = system.appearance_of(image)
        other = own.roll(1 + int(Noise(seed, number, Stream.LATENT).permutation(len(hands) - 1)[0]), 0)
        known, bone = system.labelled(hands).all(1), scale_bone(solid)[:, None]
        joints = system.joints_of(hands)
        pictures = (
            system.predict_uncalibrated(Hands(image=system.synthesize(joints, content))).joints
            for content in (own, other)
        )
        pose = system.pose_encoder(joints).mean
        latents = (system.decode_pose(torch.cat([pose, content], 1)) for content in (own, other))
        for kept, (first, second) in ((moved, pictures), (decoded, latents)):
            kept.append(((first - second).norm(dim=2) * bone)[known])

    count = len(torch.cat(moved)) if moved else 0
    same = "mean distance over joints and hands, scale of the truth"
    return (
        Measure(
            "content_swap",
            _mean(moved),
            "mm",
            count,
            Stated("read by the model's own embedding from pictures it made"),
            same,
        ),
        Measure("content_swap_decoded", _mean(decoded), "mm", count, Stated("decoded from the latent"), same),
    )


@torch.no_grad()
def layers_swap(system: PoseEstimator, data: HandData, seed: int = 0) -> tuple[Measure, ...]:
    """How far hand and ground of made pictures change colour when one part of the content is another hand's;
    nothing where it is one piece.

    A picture is made of a test hand's true pose and the content read from its real picture, and made again
    with the hand's or the ground's
    part of another one, of another content. A region is what the true part picture shows of the hand, forearm
    included, or all else; its
    change is that of its mean colour. `hand_moved_by_ground` is the change of the hand's pixels under another
    ground, and so on: apart is
    what leaves `hand_moved_by_ground` and `ground_moved_by_hand` small beside the other two. `hand_apart` and
    `ground_apart`: of the two
    hands' real pictures, what a whole exchange would reach. `hand_missed` and `ground_missed`: between the
    exchanged part as it is made and
    as it is in the real picture that it came from; beside `..._apart`, what an exchange to the right colour
    leaves.
    """
    if not isinstance(system, DvaeLayers):
        return ()

    found: dict[str, list[Tensor]] = {}
    for number, hands in enumerate(batches(data, system, ("image", "segmentation"))):
        image, segmentation, content = hands.require_all("image", "segmentation", "content")
        if len(hands) < 2:
            continue

        others = derangement(len(hands), Noise(seed, number, Stream.LATENT))
        hand = (segmentation != BACKGROUND).float()
        regions = {"hand": hand, "ground": 1 - hand}
        counted = system.labelled(hands).all(1) & (content != content[others])
        for region in regions.values():
            counted &= region.flatten(1).any(1) & region[others].flatten(1).any(1)

        joints, own = system.joints_of(hands), system.appearance_of(image)
        made = system.synthesize(joints, own)
        real = {name: _mean_colour(image, region) for name, region in regions.items()}
        for name, colour in real.items():
            found.setdefault(f"{name}_apart", []).append((colour - colour[others]).abs()[counted])

        for swapped in regions:
            again = system.synthesize(joints, system.exchanged(own, swapped, own[others]))
            for name, region in regions.items():
                change = (_mean_colour(again, region) - _mean_colour(made, region)).abs()
                found.setdefault(f"{name}_moved_by_{swapped}", []).append(change[counted])
            missed = (_mean_colour(again, regions[swapped]) - real[swapped][others]).abs()
            found.setdefault(f"{swapped}_missed", []).append(missed[counted])

    count = sum(len(part) for part in found.get("hand_apart", []))
    protocol = Stated(
        "true poses, contents read by the embedding, regions of the true part picture, "
        "partners of another content"
    )
    words = "mean absolute difference of a region's mean colour, over red, green, blue and hands"
    return tuple(
        Measure(name, 255 * _mean(parts), "of 255", count, protocol, words) for name, parts in found.items()
    )


def swaps_said(measures: Sequence[Measure]) -> str:
    """The table of `layers_swap` in words; nothing where there is none."""
    value = {measure.name: measure.value for measure in measures}
    if "hand_apart" not in value:
        return ""

    lines = []
    for region, other in (("hand", "ground"), ("ground", "hand")):
        changes = (f"moved_by_{region}", f"moved_by_{other}", "apart", "missed")
        own, leak, apart, missed = (value[f"{region}_{change}"] for change in changes)
        share = f" ({leak / own:.0%})" if own else ""
        moved = (
            f"another {region} moves the {region}'s mean colour by {own:.1f} of 255, "
            f"another {other} by {leak:.1f}{share}"
        )
        lines.append(
            f"{moved}, real pictures lie {apart:.1f} apart, it misses the one it comes from by {missed:.1f}"
        )

    return (
        f"{'; '.join(lines)}; N = {next(measure.n for measure in measures if measure.name == 'hand_apart')}"
    )


def _mean_colour(
    image: Float[Tensor, "batch 3 height width"], region: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, "batch 3"]:
    """Over the region's pixels; 0 of an empty one."""
    return (image * region).sum((2, 3)) / region.sum((2, 3)).clamp_min(1)


def _mean(parts: Sequence[Tensor]) -> float:
    return float(torch.cat(list(parts)).mean()) if parts else float("nan")
