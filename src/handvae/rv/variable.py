"""A tensor of independent scalars, each known by its mean and variance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import _pytree as pytree

from handvae.rv.errors import UnsupportedRVOp, calling_module
from handvae.rv.functional import arithmetic
from handvae.rv.rules import dispatch, record

_LOGVAR_RANGE = (-15.0, 5.0)


@dataclass(frozen=True, eq=False, repr=False)
class RandomVariable:
    """Independent scalars with a mean and a variance each; `var=None` means known exactly (Dirac).

    Neither calibrated nor a distribution: only two moments flow through layers, and correlations
    between elements are dropped. `rv.calibrate` measures what that costs.

    Args:
        mean: expectation of each scalar.
        var: variance of each scalar, same shape, never negative; None if the value is known exactly.
    """

    mean: Float[Tensor, "..."]
    var: Float[Tensor, "..."] | None = None

    def __post_init__(self) -> None:
        if self.var is not None and self.var.shape != self.mean.shape:
            shapes = f"mean has shape {tuple(self.mean.shape)} and variance {tuple(self.var.shape)}"
            raise ValueError(f"{shapes}; they must be equal")

    # --------------------------------------------------------------------------------------- constructors

    @classmethod
    def dirac(cls, value: Float[Tensor, "..."]) -> "RandomVariable":
        """Returns the variable that equals `value` with certainty."""
        return cls(value)

    @classmethod
    def from_logvar(cls, mean: Float[Tensor, "*shape"], logvar: Float[Tensor, "*shape"]) -> "RandomVariable":
        """Builds an encoder's variable from mean and log-variance, the latter clamped to [-15, 5]."""
        return cls(mean, logvar.clamp(*_LOGVAR_RANGE).exp())

    @classmethod
    def from_stacked(cls, moments: Float[Tensor, "batch 2 *rest"]) -> "RandomVariable":
        """Reads the interchange layout in which axis 1 holds mean and variance."""
        mean, var = moments.unbind(1)
        return cls(mean, var)

    def stack(self) -> Float[Tensor, "batch 2 *rest"]:
        """Returns mean and variance along a new axis 1; a Dirac gets zero variance."""
        return torch.stack([self.mean, self.var_or_zeros()], dim=1)

    # ---------------------------------------------------------------------------------------- probability

    @property
    def is_dirac(self) -> bool:
        """Whether the value is known exactly."""
        return self.var is None

    @property
    def std(self) -> Float[Tensor, "..."]:
        """Standard deviation; its gradient is infinite where the variance is zero."""
        return self.var_or_zeros().sqrt()

    def var_or_zeros(self) -> Float[Tensor, "..."]:
        """Returns the variance, zeros for a Dirac."""
        return torch.zeros_like(self.mean) if self.var is None else self.var

    def known_moments(self) -> tuple[Float[Tensor, "..."], ...]:
        """Returns mean and variance; the mean alone of a Dirac."""
        return (self.mean,) if self.var is None else (self.mean, self.var)

    def sample(
        self, generator: torch.Generator | None = None, *, noise: Float[Tensor, "..."] | None = None
    ) -> Float[Tensor, "..."]:
        """Draws once from the Gaussian of these moments; a Dirac returns its mean.

        Args:
            generator: source of the standard normal numbers.
            noise: standard normal numbers of the variable's shape, used instead of drawing.
        """
        if self.var is None:
            return self.mean

        if noise is None:
            noise = torch.randn(
                self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype
            )

        # x = m + √v ε; the floor keeps the gradient of the root finite at v = 0
        std = (self.var + 1e-10).sqrt()
        return self.mean + std * noise

    def kl(self) -> Float[Tensor, "batch"]:
        """Returns KL(N(mean, var) || N(0, I)) of each sample in nats, summed over all axes but the first.

        Raises:
            ValueError: the variable is a Dirac, whose divergence from a density is infinite.
        """
        if self.var is None:
            raise ValueError("a Dirac has no finite KL to a Gaussian; give the variable a variance")

        # KL = ½ Σ (m² + v − 1 − log v). The floor keeps the loss finite at v = 0, where log v is not; any
        # clamped log-variance lies far above it.
        terms = self.mean.square() + self.var - 1.0 - self.var.clamp_min(1e-30).log()
        return 0.5 * terms.flatten(1).sum(1)

    # ------------------------------------------------------------------------------- shapes, as of tensors

    @property
    def shape(self) -> torch.Size:
        """Shape of mean and variance."""
        return self.mean.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.mean.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the mean."""
        return self.mean.dtype

    @property
    def device(self) -> torch.device:
        """Device of the mean."""
        return self.mean.device

    @property
    def requires_grad(self) -> bool:
        """Whether the mean or the variance takes part in differentiation."""
        return self.mean.requires_grad or (self.var is not None and self.var.requires_grad)

    def dim(self) -> int:
        """Returns the number of axes."""
        return self.mean.dim()

    @overload
    def size(self) -> torch.Size: ...
    @overload
    def size(self, dim: int) -> int: ...
    def size(self, dim: int | None = None) -> torch.Size | int:
        """Returns the shape, or the length of one axis."""
        return self.mean.shape if dim is None else self.mean.shape[dim]

    def numel(self) -> int:
        """Returns the number of scalars."""
        return self.mean.numel()

    def map(self, move: Callable[[Tensor], Tensor]) -> "RandomVariable":
        """Applies to mean and variance alike a function that only moves or copies elements."""
        return RandomVariable(move(self.mean), None if self.var is None else move(self.var))

    def detach(self) -> "RandomVariable":
        """Returns the same moments without gradient."""
        return self.map(Tensor.detach)

    def to(self, *args: Any, **kwargs: Any) -> "RandomVariable":
        """Converts device, number format or memory format as `Tensor.to` does."""
        return self.map(lambda moment: moment.to(*args, **kwargs))

    def view(self, *shape: Any) -> "RandomVariable":
        """Reshapes without copying."""
        return self.map(lambda moment: moment.view(*shape))

    def reshape(self, *shape: Any) -> "RandomVariable":
        """Reshapes, copying if it must."""
        return self.map(lambda moment: moment.reshape(*shape))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "RandomVariable":
        """Joins the axes from `start_dim` to `end_dim`."""
        return self.map(lambda moment: moment.flatten(start_dim, end_dim))

    def permute(self, *dims: Any) -> "RandomVariable":
        """Reorders the axes."""
        return self.map(lambda moment: moment.permute(*dims))

    # ------------------------------------------------------------------------------------------ operators
    # Two different variables are taken as independent; one variable with itself is fully correlated.

    def __add__(self, other: Any) -> "RandomVariable":
        record(torch.add)
        if other is self:
            return self * 2.0  # Var[2x] = 4v
        if isinstance(other, RandomVariable):
            return _broadcast(self.mean + other.mean, arithmetic.sum_variance(self.var, other.var))
        return _broadcast(self.mean + other, self.var)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "RandomVariable":
        record(torch.sub)
        if other is self:
            return RandomVariable(torch.zeros_like(self.mean))
        if isinstance(other, RandomVariable):
            return _broadcast(self.mean - other.mean, arithmetic.sum_variance(self.var, other.var))
        return _broadcast(self.mean - other, self.var)

    def __rsub__(self, other: Any) -> "RandomVariable":
        record(torch.sub)
        return _broadcast(other - self.mean, self.var)

    def __neg__(self) -> "RandomVariable":
        return RandomVariable(-self.mean, self.var)

    def __mul__(self, other: Any) -> "RandomVariable":
        record(torch.mul)
        if other is self:
            return self.square()
        if isinstance(other, RandomVariable):
            var = arithmetic.product_variance(self.mean, self.var, other.mean, other.var)
            return _broadcast(self.mean * other.mean, var)
        # Var[cx] = c²v
        return _broadcast(self.mean * other, None if self.var is None else self.var * (other * other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "RandomVariable":
        if isinstance(other, RandomVariable):
            raise _no_division()
        return _broadcast(self.mean / other, None if self.var is None else self.var / (other * other))

    def __rtruediv__(self, other: Any) -> "RandomVariable":
        raise _no_division()

    def __pow__(self, exponent: Any) -> "RandomVariable":
        if isinstance(exponent, int | float) and exponent == 2:
            return self.square()
        raise UnsupportedRVOp(
            f"power {exponent}",
            calling_module(),
            "only the square has a rule; rv.functional.gauss_hermite takes any smooth function",
        )

    def __matmul__(self, other: Any) -> "RandomVariable":
        return torch.matmul(self, other)  # pyright: ignore[reportReturnType, reportArgumentType, reportCallIssue]

    def square(self) -> "RandomVariable":
        """Returns x², exact for a Gaussian: mean m² + v, variance 2v² + 4m²v."""
        if self.var is None:
            return RandomVariable(self.mean.square())
        return RandomVariable(*arithmetic.square(self.mean, self.var))

    # ----------------------------------------------------------------------- torch functions on variables

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return dispatch(cls, function, args, kwargs or {})

    def __getattr__(self, name: str) -> Any:
        # Only names that are not defined above arrive here: the other methods of a tensor, which have a rule
        # or raise UnsupportedRVOp.
        method = None if name.startswith("_") else getattr(Tensor, name, None)
        if not callable(method):
            raise AttributeError(f"RandomVariable has no attribute {name}")
        return lambda *args, **kwargs: dispatch(RandomVariable, method, (self, *args), kwargs)

    def __getitem__(self, index: Any) -> "RandomVariable":
        return self.map(lambda moment: moment[index])

    def __len__(self) -> int:
        return len(self.mean)

    def __repr__(self) -> str:
        kind = "Dirac" if self.var is None else "random"
        return f"RandomVariable({kind}, shape={tuple(self.shape)}, dtype={self.dtype}, device={self.device})"


def cat(parts: Sequence[RandomVariable | Tensor], dim: int = 0) -> RandomVariable | Tensor:
    """Joins variables and tensors along `dim`: exact; plain tensors alone give a plain tensor.

    Known parts get zero variance if any part is random, else the result stays a Dirac.
    """
    if not any(isinstance(part, RandomVariable) for part in parts):
        return torch.cat([part for part in parts if isinstance(part, Tensor)], dim)

    variables = [part if isinstance(part, RandomVariable) else RandomVariable(part) for part in parts]
    mean = torch.cat([variable.mean for variable in variables], dim)
    if all(variable.var is None for variable in variables):
        return RandomVariable(mean)

    return RandomVariable(mean, torch.cat([variable.var_or_zeros() for variable in variables], dim))


def _broadcast(mean: Tensor, var: Tensor | None) -> RandomVariable:
    # An operand may have broadcast the mean: each copy then has the variance of its source, and the copies
    # are treated as independent.
    if var is not None and var.shape != mean.shape:
        var = var.expand_as(mean)
    return RandomVariable(mean, var)


def _no_division() -> UnsupportedRVOp:
    return UnsupportedRVOp(
        "division by a random variable",
        calling_module(),
        "its variance is infinite; divide by a known number",
    )


# --------------------------------------------------------------------------------------- a pytree of moments


def _flatten(variable: RandomVariable) -> tuple[list[Any], bool]:
    return list(variable.known_moments()), variable.is_dirac


def _unflatten(moments: Any, is_dirac: bool) -> RandomVariable:
    # Built without __init__: tree_map may put shapes, names or None where tensors were.
    moments = list(moments)
    variable = object.__new__(RandomVariable)
    object.__setattr__(variable, "mean", moments[0])
    object.__setattr__(variable, "var", None if is_dirac else moments[1])
    return variable


pytree.register_pytree_node(
    RandomVariable, _flatten, _unflatten, serialized_type_name="handvae.rv.RandomVariable"
)
