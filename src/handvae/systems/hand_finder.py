"""Finds every hand of a whole picture: where, how large, how turned, which side.

Ours; hands are peaks of a heat map of their middles, as in CenterNet (Zhou et al., "Objects as Points",
2019), on a grid of an eighth of the picture's side:

    L = focal(heat, Gaussian at each hand's middle)
        + w_box |offset, log size|_1 + w_turn |cos, sin|_1 + w_side CE(side)   at the middles and next to them

The heat map's loss counts less where a picture may show hands without a label.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec, Hands
from handvae.data.scenes import inside_share, scene_boxes
from handvae.hand import LEFT, RIGHT
from handvae.losses import weighted_mean
from handvae.nets.blocks import MAX_WIDTH, Norm, conv_block, halved
from handvae.nets.hourglass import Hourglass
from handvae.noise import Noise
from handvae.systems.one_stage import OneStage
from handvae.systems.sheet import image_grid
from handvae.systems.system import Losses, Phase

STRIDE = 8
"""Pixels of the picture in a cell."""
LEAST_INSIDE = 0.5
"""Share of a hand's joints that lie in the picture, from which on it is to be found."""
LEAST_PX = 8.0
"""Larger side of the smallest hand that is to be found, px of the network's picture."""
PRIOR_LOG_ODDS = -4.6
"""Of a hand in a cell, before training: one in a hundred."""


@dataclass(frozen=True)
class HandFinderConfig:
    """Every choice of the finder."""

    widths: tuple[int, ...] = (24, 48, 96, 160, 192, 224)
    """Channels of the stem and of the stages, each of half the size of the one before."""
    blocks: tuple[int, ...] = (0, 1, 1, 1, 1)
    """Residual blocks of each stage."""
    norm: Norm = "batch"
    """Normalisation."""
    spot: float = 0.12
    """Standard deviation of the Gaussian at a hand's middle, over the hand's size."""
    box_weight: float = 1.0
    """Weight of the absolute errors of place (cells) and log size."""
    turn_weight: float = 0.3
    """Weight of the direction's absolute error."""
    side_weight: float = 0.1
    """Weight of the side's cross-entropy."""
    unlabelled_weight: float = 0.3
    """Weight of a cell without a labelled hand, in pictures that may show more hands."""

    def __post_init__(self) -> None:
        if len(self.widths) < 4 or not all(1 <= width <= MAX_WIDTH for width in self.widths):
            raise ValueError(f"widths holds four numbers or more, each from 1 to {MAX_WIDTH}")
        if len(self.blocks) != len(self.widths) - 1 or not all(0 <= count <= 16 for count in self.blocks):
            raise ValueError("blocks holds a number from 0 to 16 for each stage after the stem")

        weights = (self.box_weight, self.turn_weight, self.side_weight, self.unlabelled_weight)
        if not all(0 <= weight < 1e6 for weight in weights) or not 0 < self.spot < 10:
            raise ValueError("weights are not negative, spot is positive")


@dataclass(frozen=True)
class FoundMaps:
    """What the network says of each cell of its pictures."""

    heat: Float[Tensor, "batch rows columns"]
    """Log-odds of a hand's middle."""
    offset: Float[Tensor, "batch 2 rows columns"]
    """From the cell's centre to the hand's middle, cells."""
    log_size: Float[Tensor, "batch 2 rows columns"]
    """Logarithm of width and height of the joints' box, over the picture's side."""
    direction: Float[Tensor, "batch 2 rows columns"]
    """From the wrist to the middle finger's MCP: cosine and sine of its angle in the picture."""
    side: Float[Tensor, "batch rows columns"]
    """Log-odds of a right hand."""


@dataclass(frozen=True)
class Found:
    """Candidates of one picture, the likeliest first."""

    score: Float[Tensor, " hand"]
    """Probability of a hand."""
    middle: Float[Tensor, "hand 2"]
    """Of the box, px of the network's picture."""
    size: Float[Tensor, "hand 2"]
    """Width and height of the box of joints, px of the network's picture."""
    angle: Float[Tensor, " hand"]
    """Of the direction from the wrist to the middle finger's MCP, radians from the x axis towards y."""
    right: Float[Tensor, " hand"]
    """Probability of a right hand."""


@dataclass(frozen=True)
class FinderLosses(Losses):
    """Terms of the objective, unweighted."""

    heat: Float[Tensor, ""]
    box: Float[Tensor, ""]
    turn: Float[Tensor, ""]
    side: Float[Tensor, ""]


class HandFinder(OneStage):
    """One fully convolutional network."""

    config: HandFinderConfig
    objectives = ("objective",)
    summarised = ("heat", "box", "turn", "side")
    sheet_rows = "pictures with the hands that are found, and with the labelled ones"

    def __init__(self, config: HandFinderConfig, spec: DataSpec, crop: Crop) -> None:
        super().__init__()
        if crop.box != "picture":
            raise ValueError("a finder looks at whole pictures: set crop.box to picture")

        self.config = config
        self.spec = spec
        self.crop = crop

        halved(crop.size_px, len(config.widths))  # refuses what cannot be halved so often
        fine = config.widths[2]
        self.trunk = Hourglass(config.widths, config.blocks, config.norm, finest=2)
        self.features = conv_block(fine, fine, kernel=3, stride=1, norm=config.norm, slope=0.0)
        self.maps = nn.Conv2d(fine, 8, 1)
        with torch.no_grad():
            assert self.maps.bias is not None
            self.maps.bias[0] = PRIOR_LOG_ODDS

    def look(self, image: Float[Tensor, "batch 3 height width"]) -> FoundMaps:
        """Look at whole pictures in [0, 1], letterboxed to a multiple of the coarsest cell."""
        fine, _ = self.trunk(image * 2 - 1)
        maps = self.maps(self.features(fine)).float()
        return FoundMaps(
            heat=maps[:, 0],
            offset=maps[:, 1:3],
            log_size=maps[:, 3:5],
            direction=maps[:, 5:7],
            side=maps[:, 7],
        )

    def look_twice(self, image: Float[Tensor, "batch 3 height width"]) -> FoundMaps:
        """The mean of the maps of pictures and of their mirror images: mirrored in, mirrored out."""
        maps = self.look(torch.cat([image, image.flip(-1)]))
        flip_x = maps.offset.new_tensor([-1.0, 1.0])[:, None, None]

        def mean(values: Tensor, sign: Tensor | float = 1.0) -> Tensor:
            straight, mirrored = values.chunk(2)
            return (straight + sign * mirrored.flip(-1)) / 2

        return FoundMaps(
            heat=mean(maps.heat),
            offset=mean(maps.offset, flip_x),
            log_size=mean(maps.log_size),
            direction=mean(maps.direction, flip_x),
            side=mean(maps.side, -1.0),
        )

    @torch.no_grad()
    def find(self, image: Float[Tensor, "batch 3 height width"], least: float, most: int) -> list[Found]:
        """The peaks of the heat maps, of pictures seen as they are and in a mirror.

        Args:
            image: whole pictures in [0, 1].
            least: smallest score of a candidate.
            most: candidates of a picture, at most.
        """
        maps = self.look_twice(image)
        heat = maps.heat.sigmoid()
        is_peak = F.max_pool2d(heat[:, None], 3, 1, 1)[:, 0] == heat
        scores = torch.where(is_peak, heat, 0.0).flatten(1)
        count = min(most, scores.shape[1])
        best, cells = scores.topk(count, dim=1)
        columns = heat.shape[2]

        found = []
        for row in range(len(image)):
            kept = cells[row][best[row] >= least]
            y, x = kept // columns, kept % columns
            centre = torch.stack([x, y], 1) + 0.5
            cos, sin = maps.direction[row][:, y, x]
            found.append(
                Found(
                    score=best[row][: len(kept)],
                    middle=(centre + maps.offset[row][:, y, x].mT) * STRIDE,
                    size=maps.log_size[row][:, y, x].mT.exp() * self.crop.size_px,
                    angle=torch.atan2(sin, cos),
                    right=maps.side[row][y, x].sigmoid(),
                )
            )
        return found

    # ---------------------------------------------------------------- training

    def step(self, batch: Hands, stage: str, noise: Noise) -> Iterator[Phase]:
        """One optimiser step."""
        image = batch.require("image")
        losses = self.objective(image, *self.targets(batch, image.shape[-1] // STRIDE))
        yield Phase(losses, group="all")

    def targets(
        self, batch: Hands, cells: int
    ) -> tuple[
        Float[Tensor, "batch cells cells"],
        Float[Tensor, "batch cells cells"],
        Float[Tensor, "batch 7 cells cells"],
        Float[Tensor, "batch 2 cells cells"],
    ]:
        """What the maps are to show: heat, its weight, the values of a hand, the weights of hand and side."""
        instances = batch.require("instances")
        valid = batch.require("instance_valid")
        side = batch.require("instance_side")
        device = instances.device

        middle, size = scene_boxes(instances)
        found = valid & (inside_share(instances, self.crop.size_px) >= LEAST_INSIDE)
        found = found & (size.amax(-1) >= LEAST_PX)

        # each hand's Gaussian on the grid, in cells
        grid = torch.arange(cells, device=device) + 0.5
        place = middle / STRIDE
        sigma = (size.amax(-1) / STRIDE * self.config.spot).clamp_min(0.6)
        dx = grid - place[..., 0:1]
        dy = grid - place[..., 1:2]
        columns = torch.exp(-0.5 * (dx / sigma[..., None]).square())
        rows = torch.exp(-0.5 * (dy / sigma[..., None]).square())
        spots = rows[..., :, None] * columns[..., None, :] * found[..., None, None]

        # the cell that holds the middle is 1 exactly
        holds = (dx.abs() <= 0.5)[..., None, :] & (dy.abs() <= 0.5)[..., :, None]
        spots = torch.where(holds & found[..., None, None], 1.0, spots)
        heat, nearest = spots.max(1)

        # hands too far outside, or too small, are neither to be found nor background
        ignored = (valid & ~found)[..., None, None]
        reach = (size / 2 / STRIDE)[..., None, None]
        near = (dx[..., None, :].abs() <= reach[:, :, 0]) & (dy[..., :, None].abs() <= reach[:, :, 1])
        ignored = (ignored & near).any(1)
        others = torch.where(batch.require("all_labelled"), 1.0, self.config.unlabelled_weight)
        weight = torch.where(heat > 0.1, 1.0, others[:, None, None])
        weight = weight * ~(ignored & (heat < 1))

        # the values of the hand whose spot is the brightest
        def of_nearest(values: Tensor) -> Tensor:
            return values.flatten(1).gather(1, nearest.flatten(1)).view_as(nearest)

        along = F.normalize(instances[:, :, 9] - instances[:, :, 0], dim=-1)
        log_size = (size / self.crop.size_px).clamp_min(1e-3).log()
        values = [
            of_nearest(place[..., 0]) - grid,
            of_nearest(place[..., 1]) - grid[:, None],
            *(of_nearest(column) for column in (*log_size.unbind(-1), *along.unbind(-1))),
            of_nearest((side == RIGHT).float()),
        ]
        counted = torch.where(heat > 0.3, heat, 0.0)
        sided = counted * of_nearest(((side == LEFT) | (side == RIGHT)).float())
        return heat, weight, torch.stack(values, 1), torch.stack([counted, sided], 1)

    def objective(
        self,
        image: Float[Tensor, "batch 3 height width"],
        heat: Float[Tensor, "batch cells cells"],
        weight: Float[Tensor, "batch cells cells"],
        values: Float[Tensor, "batch 7 cells cells"],
        counted: Float[Tensor, "batch 2 cells cells"],
    ) -> FinderLosses:
        """The loss of one batch; pure in its arguments, so it can be compiled."""
        config = self.config
        maps = self.look(image)

        # focal loss: easy cells count little, cells near a middle count less the nearer they are
        probability = maps.heat.sigmoid()
        is_middle = heat == 1
        positive = -(1 - probability).square() * F.logsigmoid(maps.heat)
        negative = -(1 - heat).pow(4) * probability.square() * F.logsigmoid(-maps.heat)
        focal = torch.where(is_middle, positive, negative * weight).sum() / is_middle.sum().clamp_min(1)

        hand, sided = counted[:, :1], counted[:, 1]
        box = torch.cat([maps.offset, maps.log_size], 1) - values[:, :4]
        box_loss = weighted_mean(box.abs(), hand.expand_as(box)) * 4
        turn = weighted_mean((maps.direction - values[:, 4:6]).abs(), hand.expand_as(maps.direction)) * 2
        side_error = F.binary_cross_entropy_with_logits(maps.side, values[:, 6], reduction="none")
        side = weighted_mean(side_error, sided)

        total = focal + config.box_weight * box_loss + config.turn_weight * turn + config.side_weight * side
        return FinderLosses(total=total, heat=focal, box=box_loss, turn=turn, side=side)

    # ---------------------------------------------------------------- use

    @torch.no_grad()
    def sample_sheet(self, batch: Hands, noise: Noise) -> Float[Tensor, "3 height width"]:
        """See `sheet_rows`."""
        image = batch.require("image")
        found = [(one.middle, one.size) for one in self.find(image, least=0.3, most=8)]
        middles, sizes = scene_boxes(batch.require("instances"))
        valid = batch.require("instance_valid")
        labelled = [(middles[row][valid[row]], sizes[row][valid[row]]) for row in range(len(image))]
        return image_grid([_with_boxes(image, found), _with_boxes(image, labelled)])


def _with_boxes(
    image: Float[Tensor, "batch 3 height width"], boxes: list[tuple[Tensor, Tensor]]
) -> Float[Tensor, "batch 3 height width"]:
    """Boxes drawn into pictures."""
    drawn = image.clone()
    height, width = image.shape[2:]
    for picture, (middles, sizes) in zip(drawn, boxes, strict=True):
        for middle, size in zip(middles, sizes, strict=True):
            x0, y0 = (middle - size / 2).round().int().tolist()
            x1, y1 = (middle + size / 2).round().int().tolist()
            x0, x1 = max(0, min(x0, width - 1)), max(0, min(x1, width - 1))
            y0, y1 = max(0, min(y0, height - 1)), max(0, min(y1, height - 1))
            colour = picture.new_tensor([1.0, 0.2, 0.1])[:, None]
            picture[:, [y0, y1], x0 : x1 + 1] = colour[..., None]
            picture[:, y0 : y1 + 1, [x0, x1]] = colour[..., None]
    return drawn
