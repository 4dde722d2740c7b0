"""dVAE that reads poses (Yang & Yao, CVPR 2019, pose estimation): canonical pose and viewpoint apart, read
from a picture.

x is the 3D pose, y1 the canonical pose, y2 the viewpoint, x^ the picture. Objectives, stages and what both
tasks share: `dvae`.
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
from handvae.nets.limb_maps import drawn
from handvae.nets.mlp import mlp
from handvae.noise import Noise
from handvae.systems.dvae import (
    Dvae,
    DvaeConfig,
    DvaeLosses,
    joined,
    joint_decoder,
    mean_over,
    need_labels,
    picture_encoder,
    squared,
    vector_encoder,
)
from handvae.systems.system import Input, Phase, Prediction, predict_by_samples


@dataclass(frozen=True)
class DvaePoseConfig(DvaeConfig):
    """Choices of pose estimation."""

    beta: float = 0.01
    """Weight of the KL."""
    weak: Literal["none", "viewpoint"] = "none"
    """What pictures whose pose is held back still teach: nothing, or their viewpoint."""


@dataclass(frozen=True)
class HandFactors:
    """What is read of hands, factor by factor."""

    canonical: Float[Tensor, "batch joint 3"]
    """Bone units, as left hands."""
    viewpoint: Float[Tensor, "batch 3 3"]
    """Rotation from the canonical frame to the camera."""


class DvaePose(Dvae):
    """3D pose, canonical pose and viewpoint from pictures (eq. 8)."""

    config: DvaePoseConfig
    sheet_rows = "real pictures, 3D poses read from them, labels"

    def __init__(self, config: DvaePoseConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        self.config, self.spec, self.crop, self.pose, self.root = config, spec, crop, "3d", config.root
        need_labels(spec, ("joints_3d", "side"))
        part, joints = config.factor_dims, spec.joints
        self.canonical_encoder, self.view_encoder = (
            vector_encoder(config, joints * 3),
            vector_encoder(config, 9),
        )  # phi_y1, phi_y2
        self.canonical_decoder = joint_decoder(config, part, joints)  # theta_y1
        self.view_decoder = nn.Sequential(mlp(part, 9, config.hidden), nn.Unflatten(1, (3, 3)))  # theta_y2
        self.pose_decoder = joint_decoder(config, 2 * part, joints)  # theta_x
        self.image_encoder = picture_encoder(config, crop.size_px, 2 * part)  # phi_x^

    @property
    def groups(self) -> dict[str, tuple[nn.Module, ...]]:
        """The factors' encoders with all decoders, and the picture's encoder."""
        factors = (
            self.canonical_encoder,
            self.view_encoder,
            self.canonical_decoder,
            self.view_decoder,
            self.pose_decoder,
        )
        return {"factors": factors, "image": (self.image_encoder,)}

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """Disentangle: eq. (2) on all poses, which needs no picture; embed: eq. (8) on pictures whose pose is
        known, or its viewpoint."""
        whole, target = self.targets(batch)
        draw = noise.normal(len(batch), 2 * self.config.factor_dims).to(whole.device)
        if stage == "embed":
            image = batch.require("image")
            posterior = self.image_encoder(image - 0.5)
            known = whole if batch.pose_known is None else whole & batch.pose_known
            seen = whole if self.config.weak == "viewpoint" else known
        else:
            posterior = joined([self.canonical_encoder(target.pose), self.view_encoder(target.viewpoint)])
            known = seen = whole
        z, bone = posterior.sample(noise=draw), self.bones_mm(batch, whole)
        of_pose, of_view = z.split(self.config.factor_dims, 1)
        joints = self.joints_of(replace(batch, pose_known=None))
        x = mean_over(squared(self.pose_decoder(z), joints, bone), known)
        y1 = mean_over(squared(self.canonical_decoder(of_pose), target.pose, bone), known)
        y2 = mean_over(
            squared(self.view_decoder(of_view), target.viewpoint, bone), seen
        )  # a unit of a matrix moves a joint by a bone
        rate = mean_over(posterior.kl(), seen)
        total = self.config.x_weight * x + self.config.factor_weight * (y1 + y2) + self.config.beta * rate
        yield Phase(DvaeLosses(total, x, y1, y2, rate), "image" if stage == "embed" else "factors")

    def targets(self, hands: Hands) -> tuple[Bool[Tensor, " batch"], CanonicalPose]:
        """Canonical poses and viewpoints, and which hands have all their labels, held back or not."""
        joints, side = hands.require_all("joints_3d", "side")
        labelled = self.labelled(replace(hands, pose_known=None)).all(1)
        target = canonical_pose(torch.where(labelled[:, None, None], joints, 0.0), side, self.config.root)
        return labelled & target.valid, target

    @torch.no_grad()
    def predict_uncalibrated(self, hands: Hands, inputs: Sequence[Input] = ()) -> Prediction:
        """Read 3D poses from pictures."""
        image = hands.require("image")
        return predict_by_samples(
            self.image_encoder(image - 0.5),
            lambda z: self.pose_decoder(z).float(),
            self.config.posterior_samples,
        )

    @torch.no_grad()
    def factors_of(self, image: Float[Tensor, "batch 3 height width"]) -> HandFactors:
        """Read canonical pose and viewpoint from pictures; the 9 numbers decoded are brought to the nearest
        rotation."""
        of_pose, of_view = self.image_encoder(image - 0.5).mean.split(self.config.factor_dims, 1)
        return HandFactors(
            self.canonical_decoder(of_pose).float(), nearest_rotation(self.view_decoder(of_view).float())
        )

    @torch.no_grad()
    def summarise(self, batches: Iterable[Hands]) -> dict[str, float]:
        """Error on training pictures; nothing is kept."""
        pairs = [
            (
                self.predict_uncalibrated(Hands(image=batch.require("image"))).joints - self.joints_of(batch),
                self.labelled(batch),
            )
            for batch in batches
        ]
        errors = torch.cat([error.norm(dim=2)[valid] for error, valid in pairs])
        return {"training_error": float(errors.mean())}

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`; a hand a column."""
        image = batch.require("image")
        rows = [image]
        for joints in (self.predict_uncalibrated(Hands(image=image)).joints, self.joints_of(batch)):
            flat = in_own_crop(joints[..., :2], self.crop.margin).nan_to_num()
            rows.append(drawn(flat, image.shape[-1]))
        return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
