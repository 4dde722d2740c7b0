"""Inception-v3 as the FID knows it: the 2015 TensorFlow graph in plain torch, with weights from a file that
the user gives.

Szegedy et al. (2016), with three marks of that graph: average pools leave the border's padding out, the last
block's pool takes
the maximum, and the classifier has 1008 outputs. Module names are those of the two common weight files.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.errors import UserError
from handvae.files import file_digest

SIDE_PX, DIM = 299, 2048
FILES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
"""Published names: pytorch-fid's and torch-fidelity's."""
HASH = "6726825d"
"""First digits of the file's SHA-256."""

Link = tuple[str, int, tuple[int, int], int]  # name, output channels, kernel, stride
Chain = list[tuple[Link, ...]]
"""Convolutions one after the other; links of one tuple work side by side."""
Pool = Literal["mean", "max", "halve"]


class Convolution(nn.Module):
    """Convolution, normalisation, rectifier; stride 1 keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(
        self, image: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        """Non-negative feature maps."""
        return F.relu(self.bn(self.conv(image)))


class Mixed(nn.Module):
    """Chains of convolutions and a pool side by side.

    Args:
        inputs: channels.
        chains: the branches but for the pool's.
        pool: `halve` is a maximum over 3 x 3 with stride 2, and no convolution after it.
        pool_channels: of the convolution after the pool.
    """

    def __init__(self, inputs: int, chains: Sequence[Chain], pool: Pool, pool_channels: int = 0) -> None:
        super().__init__()
        self.pool: Pool = pool
        self.chains: list[list[tuple[str, ...]]] = []
        self.outputs = pool_channels or inputs
        for chain in chains:
            channels = inputs
            for links in chain:
                for name, outputs, kernel, stride in links:
                    self.add_module(name, Convolution(channels, outputs, kernel, stride))
                channels = sum(link[1] for link in links)
            self.chains.append([tuple(link[0] for link in links) for links in chain])
            self.outputs += channels
        self.branch_pool = Convolution(inputs, pool_channels, (1, 1)) if pool_channels else nn.Identity()

    def forward(
        self, maps: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        """The branches' maps, one after the other."""
        branches = []
        for chain in self.chains:
            value = maps
            for names in chain:
                value = torch.cat([self.get_submodule(name)(value) for name in names], 1)
            branches.append(value)
        match self.pool:
            case "mean":
                pooled = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
            case "max":
                pooled = F.max_pool2d(maps, 3, stride=1, padding=1)
            case "halve":
                pooled = F.max_pool2d(maps, 3, stride=2)
        return torch.cat([*branches, self.branch_pool(pooled)], 1)


_1, _3, _5, _ROW, _COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def _chain(*links: Link, fork: tuple[Link, ...] = ()) -> Chain:
    return [*((link,) for link in links), *([fork] if fork else [])]


def _fine(inputs: int, pool_channels: int) -> Mixed:
    """35 x 35."""
    one = _chain(("branch1x1", 64, _1, 1))
    five = _chain(("branch5x5_1", 48, _1, 1), ("branch5x5_2", 64, _5, 1))
    three = _chain(
        ("branch3x3dbl_1", 64, _1, 1), ("branch3x3dbl_2", 96, _3, 1), ("branch3x3dbl_3", 96, _3, 1)
    )
    return Mixed(inputs, [one, five, three], "mean", pool_channels)


def _middle(width: int) -> Mixed:
    """17 x 17."""
    one = _chain(("branch1x1", 192, _1, 1))
    once = _chain(
        ("branch7x7_1", width, _1, 1), ("branch7x7_2", width, _ROW, 1), ("branch7x7_3", 192, _COLUMN, 1)
    )
    twice = _chain(
        ("branch7x7dbl_1", width, _1, 1),
        ("branch7x7dbl_2", width, _COLUMN, 1),
        ("branch7x7dbl_3", width, _ROW, 1),
        ("branch7x7dbl_4", width, _COLUMN, 1),
        ("branch7x7dbl_5", 192, _ROW, 1),
    )
    return Mixed(768, [one, once, twice], "mean", 192)


def _coarse(inputs: int, pool: Pool) -> Mixed:
    """8 x 8."""
    one = _chain(("branch1x1", 320, _1, 1))
    fork = (("branch3x3_2a", 384, (1, 3), 1), ("branch3x3_2b", 384, (3, 1), 1))
    once = _chain(("branch3x3_1", 384, _1, 1), fork=fork)
    fork = (("branch3x3dbl_3a", 384, (1, 3), 1), ("branch3x3dbl_3b", 384, (3, 1), 1))
    twice = _chain(("branch3x3dbl_1", 448, _1, 1), ("branch3x3dbl_2", 384, _3, 1), fork=fork)
    return Mixed(inputs, [one, once, twice], pool, 192)


def _halve_fine() -> Mixed:
    once = _chain(("branch3x3", 384, _3, 2))
    twice = _chain(
        ("branch3x3dbl_1", 64, _1, 1), ("branch3x3dbl_2", 96, _3, 1), ("branch3x3dbl_3", 96, _3, 2)
    )
    return Mixed(288, [once, twice], "halve")


def _halve_middle() -> Mixed:
    three = _chain(("branch3x3_1", 192, _1, 1), ("branch3x3_2", 320, _3, 2))
    seven = _chain(
        ("branch7x7x3_1", 192, _1, 1),
        ("branch7x7x3_2", 192, _ROW, 1),
        ("branch7x7x3_3", 192, _COLUMN, 1),
        ("branch7x7x3_4", 192, _3, 2),
    )
    return Mixed(768, [three, seven], "halve")


class InceptionV3(nn.Module):
    """Pictures in [0, 1] of any size to 2048 features."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, _3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, _3, padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, _3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, _1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, _3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _fine(192, 32), _fine(256, 64), _fine(288, 64)
        self.Mixed_6a = _halve_fine()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (
            _middle(128),
            _middle(160),
            _middle(160),
            _middle(192),
        )
        self.Mixed_7a = _halve_middle()
        self.Mixed_7b, self.Mixed_7c = _coarse(1280, "mean"), _coarse(2048, "max")
        self.fc = nn.Linear(DIM, 1008)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2048"]:
        """Features of the last average pool, of pictures rounded to 8 bits as files hold them."""
        value = resize_like_tensorflow_1((image * 255).round().clamp(0, 255), SIDE_PX)
        value = (value - 128) / 128
        value = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(value)))
        value = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(value, 3, 2)))
        value = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(value, 3, 2))))
        value = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(value)))))
        return self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(value))).mean((2, 3))


def resize_like_tensorflow_1(
    image: Float[Tensor, "batch channel height width"], side_px: int
) -> Float[Tensor, "batch channel side side"]:
    """Bilinear resize as TensorFlow 1 had it: output pixel i reads input place i * in / out, without
    antialiasing."""
    for axis in (3, 2):
        size = image.shape[axis]
        place = torch.arange(side_px, dtype=torch.float32, device=image.device) * (size / side_px)
        low = place.long()
        high = (low + 1).clamp(max=size - 1)
        weight = (place - low).to(image.dtype).view(-1, *([1] * (3 - axis)))
        first, second = image.index_select(axis, low), image.index_select(axis, high)
        image = first + (second - first) * weight
    return image


def load_inception(path: Path) -> InceptionV3:
    """Inception-v3 with the weights of one of `FILES`, at rest.

    Raises:
        UserError: the file is missing, another one, or damaged.
    """
    remedy = f"fetch {FILES[0]} (releases of mseitzer/pytorch-fid) or {FILES[1]} (releases of toshas/torch-fidelity)"
    if not path.is_file():
        raise UserError(path, "there is no such file of Inception weights", remedy)
    digest = file_digest(path)
    if not digest.startswith(HASH):
        raise UserError(
            path, f"its SHA-256 begins with {digest[:8]}, and that of the FID's weights with {HASH}", remedy
        )
    return with_weights(path, remedy)


def with_weights(path: Path, remedy: str) -> InceptionV3:
    """Inception-v3 with the weights of a file whose hash nobody looked at.

    Raises:
        UserError: it holds other tensors.
    """
    network = InceptionV3()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unknown = network.load_state_dict(state, strict=False)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        raise UserError(
            path, f"holds no weights of this network ({' '.join(str(error).split())[:120]})", remedy
        ) from error
    lacking = [
        name for name in missing if not name.endswith("num_batches_tracked")
    ]  # older files do not count batches
    if lacking or unknown:
        fault = f"lacks {lacking[0]}" if lacking else f"holds {unknown[0]}, which this network has not"
        raise UserError(path, fault, remedy)
    return network.eval().requires_grad_(False)
