"""dVAE for pose estimation (Yang and Yao, CVPR 2019): canonical pose and viewpoint, disentangled.

In the paper's letters x is the 3D pose, y1 the canonical pose, y2 the viewpoint and x^ the image:
    disentangle   lx R(x | z) + ly [R(y1 | z_y1) + R(y2 | z_y2)] + b KL(q(z | y1, y2) || N(0, I))    eq. (2)
    embed         the same terms with z from q(z | x^), all decoders fixed                           eq. (8)
Algorithm 1 with line 9 encoding x^. Semi- and weak supervision: sections 3.3 and 4.4, `weak` below.
What both tasks share: `dvae`. Open details and what we chose: docs/papers/dvae.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from handvae.data.crop import Crop, in_own_crop
from handvae.data.hands import DataSpec, Hands
from handvae.geometry import CanonicalPose, canonical_pose, nearest_rotation
from handvae.losses import masked_mean
from handvae.nets.limb_maps import drawn
from handvae.nets.mlp import mlp
from handvae.noise import Noise
from handvae.systems.dvae import (
    Dvae,
    DvaeConfig,
    DvaeLosses,
    image_encoder,
    joint_decoder,
    joint_posterior,
    require_labels,
    sum_of_squares,
    vector_encoder,
)
from handvae.systems.sheet import image_grid
from handvae.systems.system import Input, Phase, Prediction, predict_by_samples


@dataclass(frozen=True)
class DvaePoseConfig(DvaeConfig):
    """Choices of pose estimation."""

    beta: float = 0.01
    """Weight of the KL."""
    weak: Literal["none", "viewpoint"] = "none"
    """What images whose pose is held back still teach: nothing, or their viewpoint."""


@dataclass(frozen=True)
class HandFactors:
    """Predicted factors of hands."""

    canonical: Float[Tensor, "batch joint 3"]
    """Bone units, as left hands."""
    viewpoint: Float[Tensor, "batch 3 3"]
    """Rotation from the canonical frame to the camera."""


class DvaePose(Dvae):
    """3D pose, canonical pose and viewpoint from images."""

    config: DvaePoseConfig
    sheet_rows = "real pictures, 3D poses read from them, labels"

    def __init__(self, config: DvaePoseConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config = config
        self.spec = spec
        self.crop = crop
        self.pose = "3d"
        self.root = config.root
        require_labels(spec, ("joints_3d", "side"))
        dims, joints = config.factor_dims, spec.joints

        self.canonical_encoder = vector_encoder(config, joints * 3)  # phi_y1
        self.view_encoder = vector_encoder(config, 9)  # phi_y2
        self.canonical_decoder = joint_decoder(config, dims, joints)  # theta_y1
        self.view_decoder = nn.Sequential(mlp(dims, 9, config.hidden), nn.Unflatten(1, (3, 3)))  # theta_y2
        self.pose_decoder = joint_decoder(config, 2 * dims, joints)  # theta_x
        self.image_encoder = image_encoder(config, crop.size_px, 2 * dims)  # phi_x^

    # ---------------------------------------------------------------- training

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the image encoder."""
        encoders = (self.canonical_encoder, self.view_encoder)
        decoders = (self.canonical_decoder, self.view_decoder, self.pose_decoder)
        return {"factors": (*encoders, *decoders), "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step of either step of algorithm 1."""
        config = self.config
        labelled, target = self.targets(batch)
        draw = noise.normal(len(batch), 2 * config.factor_dims).to(labelled.device)

        # Posterior, and which hands count for the terms of the pose and for those of the viewpoint.
        if stage == "disentangle":
            # Line 3. All poses count, also of images that are not labelled: no image is needed.
            factors = [self.canonical_encoder(target.pose), self.view_encoder(target.viewpoint)]
            posterior = joint_posterior(factors)
            pose_counts = view_counts = labelled
            group = "factors"
        else:
            # Line 9 with x^. Where the pose is held back, the viewpoint may still count (weak supervision).
            posterior = self.image_encoder(batch.require("image") - 0.5)
            pose_counts = labelled if batch.pose_known is None else labelled & batch.pose_known
            view_counts = labelled if config.weak == "viewpoint" else pose_counts
            group = "image"

        # Lines 4 to 5, 10 to 11. A unit of a rotation matrix moves a joint by a bone: both in mm.
        z = posterior.sample(noise=draw)
        z_pose, z_view = z.split(config.factor_dims, 1)
        bone = self.bones_mm(batch, labelled)
        joints = self.joints_of(replace(batch, pose_known=None))
        x = masked_mean(sum_of_squares(self.pose_decoder(z), joints, bone), pose_counts)
        y1 = masked_mean(sum_of_squares(self.canonical_decoder(z_pose), target.pose, bone), pose_counts)
        y2 = masked_mean(sum_of_squares(self.view_decoder(z_view), target.viewpoint, bone), view_counts)
        rate = masked_mean(posterior.kl(), view_counts)

        # Lines 6 and 12.
        total = (
            config.x_weight * x  # eq. (2), (8), first term
            + config.factor_weight * (y1 + y2)  # second and third term
            + config.beta * rate  # last term
        )
        yield Phase(DvaeLosses(total=total, x=x, y1=y1, y2=y2, rate=rate), group)

    def targets(self, hands: Hands) -> tuple[Bool[Tensor, " batch"], CanonicalPose]:
        """Which hands have all their labels, held back or not, and their canonical poses and viewpoints."""
        joints, side = hands.require_all("joints_3d", "side")
        labelled = self.labelled(replace(hands, pose_known=None)).all(1)
        target = canonical_pose(torch.where(labelled[:, None, None], joints, 0.0), side, self.config.root)
        return labelled & target.valid, target

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Predict 3D poses from images."""
        image = hands.require("image")
        return predict_by_samples(
            self.image_encoder(image - 0.5),
            lambda z: self.pose_decoder(z).float(),
            self.config.posterior_samples,
        )

    @torch.no_grad()
    def factors_of(self, image: Float[Tensor, "batch 3 height width"]) -> HandFactors:
        """Predict canonical pose and viewpoint from images; the decoded matrix is projected on SO(3)."""
        z_pose, z_view = self.image_encoder(image - 0.5).mean.split(self.config.factor_dims, 1)
        return HandFactors(
            canonical=self.canonical_decoder(z_pose).float(),
            viewpoint=nearest_rotation(self.view_decoder(z_view).float()),
        )

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Error on training images; nothing is kept."""
        distances = []
        for batch in batches:
            prediction = self.predict_uncalibrated(Hands(image=batch.require("image")))
            distance = (prediction.joints - self.joints_of(batch)).norm(dim=2)
            distances.append(distance[self.labelled(batch)])
        return {"training_error": float(torch.cat(distances).mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a column for each hand."""
        image = batch.require("image")
        prediction = self.predict_uncalibrated(Hands(image=image))

        rows = [image]
        for joints in (prediction.joints, self.joints_of(batch)):
            flat = in_own_crop(joints[..., :2], self.crop.margin).nan_to_num()
            rows.append(drawn(flat, image.shape[-1]))
        return image_grid(rows)
