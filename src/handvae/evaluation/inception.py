"""Inception-v3 as the FID uses it: the 2015 TensorFlow graph in plain torch, with weights from a file.

Szegedy et al. (2016), with three marks of that graph: average pools leave the border's padding out, the last
block pools by the maximum, and the classifier has 1008 outputs. Module names are those of the two common
weight files.
"""

import pickle
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from handvae.errors import UserError
from handvae.files import file_digest

SIDE_PX = 299
DIM = 2048
FILES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
"""Published names: pytorch-fid's and torch-fidelity's."""
HASH = "6726825d"
"""First digits of the file's SHA-256."""

_ROW = (1, 7)
_COLUMN = (7, 1)


class Convolution(nn.Module):
    """Convolution, normalisation, rectifier; stride 1 keeps the size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (rows // 2, columns // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (rows, columns), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(
        self, image: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs rows columns"]:
        """Non-negative feature maps."""
        return F.relu(self.bn(self.conv(image)))


def _mean_pool(maps: Tensor) -> Tensor:
    return F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)


def _max_pool(maps: Tensor) -> Tensor:
    return F.max_pool2d(maps, 3, stride=1, padding=1)


def _halving_pool(maps: Tensor) -> Tensor:
    return F.max_pool2d(maps, 3, stride=2)


# ----------------------------------------------------------------------------------------------------- blocks


class Fine(nn.Module):
    """A block at 35 x 35."""

    def __init__(self, inputs: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(inputs, 64, 1)
        self.branch5x5_1 = Convolution(inputs, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, 5)
        self.branch3x3dbl_1 = Convolution(inputs, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool = Convolution(inputs, pool_channels, 1)

    def forward(
        self, maps: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs height width"]:
        """The branches' maps, concatenated."""
        one = self.branch1x1(maps)
        five = self.branch5x5_2(self.branch5x5_1(maps))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(maps)))
        pooled = self.branch_pool(_mean_pool(maps))
        return torch.cat([one, five, three, pooled], 1)


class HalveFine(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = Convolution(288, 384, 3, stride=2)
        self.branch3x3dbl_1 = Convolution(288, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2)

    def forward(
        self, maps: Float[Tensor, "batch 288 height width"]
    ) -> Float[Tensor, "batch 768 rows columns"]:
        """The branches' maps, concatenated."""
        once = self.branch3x3(maps)
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(maps)))
        return torch.cat([once, twice, _halving_pool(maps)], 1)


class Middle(nn.Module):
    """A block at 17 x 17."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(768, 192, 1)
        self.branch7x7_1 = Convolution(768, width, 1)
        self.branch7x7_2 = Convolution(width, width, _ROW)
        self.branch7x7_3 = Convolution(width, 192, _COLUMN)
        self.branch7x7dbl_1 = Convolution(768, width, 1)
        self.branch7x7dbl_2 = Convolution(width, width, _COLUMN)
        self.branch7x7dbl_3 = Convolution(width, width, _ROW)
        self.branch7x7dbl_4 = Convolution(width, width, _COLUMN)
        self.branch7x7dbl_5 = Convolution(width, 192, _ROW)
        self.branch_pool = Convolution(768, 192, 1)

    def forward(
        self, maps: Float[Tensor, "batch 768 height width"]
    ) -> Float[Tensor, "batch 768 height width"]:
        """The branches' maps, concatenated."""
        one = self.branch1x1(maps)

        once = self.branch7x7_1(maps)
        once = self.branch7x7_3(self.branch7x7_2(once))

        twice = self.branch7x7dbl_1(maps)
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(twice))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))

        pooled = self.branch_pool(_mean_pool(maps))

        return torch.cat([one, once, twice, pooled], 1)


class HalveMiddle(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(768, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Convolution(768, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, _ROW)
        self.branch7x7x3_3 = Convolution(192, 192, _COLUMN)
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2)

    def forward(
        self, maps: Float[Tensor, "batch 768 height width"]
    ) -> Float[Tensor, "batch 1280 rows columns"]:
        """The branches' maps, concatenated."""
        three = self.branch3x3_2(self.branch3x3_1(maps))
        seven = self.branch7x7x3_2(self.branch7x7x3_1(maps))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(seven))
        return torch.cat([three, seven, _halving_pool(maps)], 1)


class Coarse(nn.Module):
    """A block at 8 x 8; both 3 x 3 branches end in a row and a column side by side."""

    def __init__(self, inputs: int, pool: Literal["mean", "max"]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(inputs, 320, 1)
        self.branch3x3_1 = Convolution(inputs, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3))
        self.branch3x3_2b = Convolution(384, 384, (3, 1))
        self.branch3x3dbl_1 = Convolution(inputs, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1))
        self.branch_pool = Convolution(inputs, 192, 1)

    def forward(
        self, maps: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch 2048 height width"]:
        """The branches' maps, concatenated."""
        one = self.branch1x1(maps)

        once = self.branch3x3_1(maps)
        once = torch.cat([self.branch3x3_2a(once), self.branch3x3_2b(once)], 1)

        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(maps))
        twice = torch.cat([self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)], 1)

        pooled = _mean_pool(maps) if self.pool == "mean" else _max_pool(maps)

        return torch.cat([one, once, twice, self.branch_pool(pooled)], 1)


# ---------------------------------------------------------------------------------------------------- network


class InceptionV3(nn.Module):
    """Pictures in [0, 1] of any size to 2048 features."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padded=False)
        self.Mixed_5b = Fine(192, 32)
        self.Mixed_5c = Fine(256, 64)
        self.Mixed_5d = Fine(288, 64)
        self.Mixed_6a = HalveFine()
        self.Mixed_6b = Middle(128)
        self.Mixed_6c = Middle(160)
        self.Mixed_6d = Middle(160)
        self.Mixed_6e = Middle(192)
        self.Mixed_7a = HalveMiddle()
        self.Mixed_7b = Coarse(1280, "mean")
        self.Mixed_7c = Coarse(2048, "max")
        self.fc = nn.Linear(DIM, 1008)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 2048"]:
        """Features of the last average pool, of pictures rounded to 8 bits as files hold them."""
        maps = resize_like_tensorflow_1((image * 255).round().clamp(0, 255), SIDE_PX)
        maps = (maps - 128) / 128

        maps = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(maps)))
        maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halving_pool(maps)))
        maps = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(_halving_pool(maps))))
        maps = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(maps)))
        maps = self.Mixed_6e(self.Mixed_6d(maps))
        maps = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(maps)))

        return maps.mean((2, 3))


def resize_like_tensorflow_1(
    image: Float[Tensor, "batch channel height width"], side_px: int
) -> Float[Tensor, "batch channel side side"]:
    """Bilinear resize as in TensorFlow 1: output pixel i reads input place i * in / out, no antialiasing."""
    for axis in (3, 2):
        size = image.shape[axis]
        place = torch.arange(side_px, dtype=torch.float32, device=image.device) * (size / side_px)
        low = place.long()
        high = (low + 1).clamp(max=size - 1)
        weight = (place - low).to(image.dtype).view(-1, *([1] * (3 - axis)))

        first = image.index_select(axis, low)
        second = image.index_select(axis, high)
        image = first + (second - first) * weight

    return image


# ---------------------------------------------------------------------------------------------------- weights


def load_inception(path: Path) -> InceptionV3:
    """Inception-v3 in evaluation mode, with the weights of one of `FILES`.

    Raises:
        UserError: the file is missing, another one, or damaged.
    """
    remedy = (
        f"fetch {FILES[0]} (releases of mseitzer/pytorch-fid) "
        f"or {FILES[1]} (releases of toshas/torch-fidelity)"
    )
    if not path.is_file():
        raise UserError(path, "there is no such file of Inception weights", remedy)

    digest = file_digest(path)
    if not digest.startswith(HASH):
        fault = f"its SHA-256 begins with {digest[:8]}, and that of the FID's weights with {HASH}"
        raise UserError(path, fault, remedy)

    return with_weights(path, remedy)


def with_weights(path: Path, remedy: str) -> InceptionV3:
    """Inception-v3 with the weights of a file, whatever its hash.

    Raises:
        UserError: it holds other tensors.
    """
    network = InceptionV3()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing, unknown = network.load_state_dict(state, strict=False)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        fault = f"holds no weights of this network ({' '.join(str(error).split())[:120]})"
        raise UserError(path, fault, remedy) from error

    # older files do not count batches
    lacking = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lacking:
        raise UserError(path, f"lacks {lacking[0]}", remedy)
    if unknown:
        raise UserError(path, f"holds {unknown[0]}, which this network has not", remedy)

    return network.eval().requires_grad_(False)
