"""`to_rv`: a twin of a network that also takes random variables, on the same parameters."""

from dataclasses import dataclass
from typing import Any, Literal, cast

from torch import Tensor, nn

import handvae.rv.layers  # noqa: F401  (registers the rules)
from handvae.rv import functional
from handvae.rv.compat import OFFICIAL, Activation, Upsampling
from handvae.rv.errors import unsupported_module
from handvae.rv.registry import RVLeaf, twin_type
from handvae.rv.variable import RandomVariable

_REPLACED_BY_RELU = (nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU)
_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


@dataclass(frozen=True)
class _Options:
    activation: Activation
    upsample: Upsampling
    strict: bool


def to_rv(
    module: nn.Module,
    activation: Activation = "match",
    upsample: Upsampling = "fused",
    strict: bool = True,
    compat: Literal["official"] | None = None,
) -> nn.Module:
    """Returns a twin of `module` that takes plain tensors and random variables.

    The twin holds the same Parameter and buffer objects under the same state-dict keys: to train, load or
    move one is to train, load or move the other. Layers are swapped by exact type; modules of your own keep
    their forward, in which children, operators, `rv.cat` and registered torch functions take variables. Plain
    tensors run the plain kernels. `torch.compile(fullgraph=True)` takes the twin.

    Args:
        module: the network; it is not changed.
        activation: "relu" puts ReLU in place of LeakyReLU, ELU, GELU and SiLU, as in published RV decoders.
        upsample: "fused" joins nearest upsampling with the convolution that follows it in an `nn.Sequential`,
            which is exact and costs less; "plain" keeps them apart.
        strict: refuse layers without a rule now instead of when a variable reaches them.
        compat: "official" takes activation and upsampling of the published modules, `rv.OFFICIAL`.

    Raises:
        UnsupportedRVOp: `strict`, and a torch layer or a leaf with parameters has no rule.
    """
    if compat == "official":
        activation = OFFICIAL.activation
        upsample = OFFICIAL.upsample

    return _convert(module, "", _Options(activation, upsample, strict), {})


def upsample_conv2d(
    x: RandomVariable | Tensor, convolution: nn.Conv2d, scale: int = 2
) -> RandomVariable | Tensor:
    """Runs nearest upsampling by `scale` and `convolution` as one, for forwards written by hand.

    Raises:
        ValueError: the convolution has a stride, a dilation or non-zero padding values.
    """
    if not _is_fusible_convolution(convolution):
        raise ValueError(
            "only a convolution of stride 1, dilation 1 and zero padding within its kernel "
            "can be fused with upsampling"
        )

    padding = cast(tuple[int, int], convolution.padding)
    settings = (convolution.weight, convolution.bias, scale, padding, convolution.groups)
    if not isinstance(x, RandomVariable):
        return functional.upsample_convolution_mean(x, *settings)
    if x.var is None:
        return RandomVariable(functional.upsample_convolution_mean(x.mean, *settings))

    return RandomVariable(*functional.upsample_convolution(x.mean, x.var, *settings))


class RVSequential(nn.Sequential):
    """An `nn.Sequential` that runs pairs of upsampling and convolution as one on random variables."""

    fuses: bool

    def forward(self, input: Any) -> Any:
        """Runs the children in order; tensors and known variables pass them one by one."""
        if not (self.fuses and isinstance(input, RandomVariable)):
            return super().forward(input)

        x: Any = input
        children = list(self)
        done = 0
        while done < len(children):
            first = children[done]
            second = children[done + 1] if done + 1 < len(children) else None

            scale = None
            if second is not None and not x.is_dirac:
                scale = fused_scale(first, second)

            if scale is None:
                x = first(x)
                done += 1
            else:
                x = upsample_conv2d(x, cast(nn.Conv2d, second), scale)
                done += 2

        return x


def fused_scale(upsampling: nn.Module, convolution: nn.Module) -> int | None:
    """Returns the scale if the two layers can run as one on a random variable, None if not."""
    if _has_hooks(upsampling) or _has_hooks(convolution) or not _is_fusible_convolution(convolution):
        return None
    return _integer_scale(upsampling)


def _convert(module: nn.Module, path: str, options: _Options, done: dict[int, nn.Module]) -> nn.Module:
    """The twin of one module and of all below it; `done` keeps shared layers shared."""
    original = module
    if id(original) in done:
        return done[id(original)]

    plain = plain_type(module)
    if options.activation == "relu" and plain in _REPLACED_BY_RELU:
        module = nn.ReLU()
        plain = nn.ReLU

    twin = twin_type(plain)
    if twin is None and options.strict and needs_rule(module):
        raise unsupported_module(module, path)

    # The twin shares the dictionaries of parameters and buffers themselves, not copies of them: so a buffer
    # that is replaced in one module is replaced in both.
    kind = RVSequential if plain is nn.Sequential else twin or plain
    converted = object.__new__(kind)
    converted.__dict__.update(module.__dict__)
    done[id(original)] = converted

    children: dict[str, nn.Module | None] = {}

    for name, child in module._modules.items():
        child_path = f"{path}.{name}".strip(".")
        children[name] = None if child is None else _convert(child, child_path, options, done)

    converted.__dict__["_modules"] = children

    if isinstance(converted, RVSequential):
        converted.fuses = options.upsample == "fused"

    return converted


def plain_type(module: nn.Module) -> type[nn.Module]:
    """Returns the type of a module, that of its original if it is a twin."""
    if isinstance(module, RVLeaf):
        return module.plain_type
    return nn.Sequential if type(module) is RVSequential else type(module)


def needs_rule(module: nn.Module) -> bool:
    """Whether a module computes something itself that only a registered rule could do on variables."""
    plain = plain_type(module)
    if plain is nn.Sequential or twin_type(plain) is not None or isinstance(module, _CONTAINERS):
        return False
    is_leaf = next(module.children(), None) is None
    return plain.__module__.startswith("torch.nn.modules") or (is_leaf and bool(module._parameters))


def _integer_scale(module: nn.Module) -> int | None:
    """Returns the factor of a nearest upsampling by one whole number, None for anything else."""
    if not isinstance(module, nn.Upsample) or module.mode != "nearest" or module.size is not None:
        return None
    factor = module.scale_factor
    factors = set(factor) if isinstance(factor, tuple) else {factor}
    scale = factors.pop()
    if factors or scale is None or not float(scale).is_integer():
        return None
    return int(scale)


def _is_fusible_convolution(module: nn.Module) -> bool:
    if plain_type(module) is not nn.Conv2d:
        return False
    assert isinstance(module, nn.Conv2d)
    if not set(module.stride) == set(module.dilation) == {1}:
        return False
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return all(margin < kernel for margin, kernel in zip(module.padding, module.kernel_size, strict=True))


def _has_hooks(module: nn.Module) -> bool:
    # Old-style weight and spectral norm compute the weight in a hook, which only calling the module runs.
    return bool(module._forward_hooks or module._forward_pre_hooks)
