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

    The twin holds the same Parameter and buffer objects under the same state-dict keys: training, loading or
    moving
    one is training, loading or moving the other. Layers are swapped by exact type; modules of your own keep
    their
    forward, in which children, operators, `rv.cat` and registered torch functions take variables. Plain
    tensors run
    the plain kernels. The twin is what `torch.compile(fullgraph=True)` takes.

    Args:
        module: the network; it is not changed.
        activation: "relu" puts ReLU in place of LeakyReLU, ELU, GELU and SiLU, as published RV decoders
            have it.
        upsample: "fused" joins nearest upsampling with the convolution that follows it in an `nn.Sequential`,
            which is exact and costs less; "plain" keeps them apart.
        strict: refuse layers without a rule now instead of when a variable reaches them.
        compat: "official" takes activation and upsampling as the published modules have them, `rv.OFFICIAL`.

    Raises:
        UnsupportedRVOp: `strict`, and a torch layer or a leaf with parameters has no rule.
    """
    if compat == "official":
        activation, upsample = OFFICIAL.activation, OFFICIAL.upsample
    return _convert(module, "", _Options(activation, upsample, strict), {})


def upsample_conv2d(
    x: RandomVariable | Tensor, convolution: nn.Conv2d, scale: int = 2
) -> RandomVariable | Tensor:
    """Runs nearest upsampling by `scale` and `convolution` in one transposed convolution, for forwards
    written by hand.

    Raises:
        ValueError: the convolution has a stride, a dilation or non-zero padding values.
    """
    if not _is_fusible_convolution(convolution):
        raise ValueError(
            "only a convolution of stride 1, dilation 1 and zero padding within its kernel can be fused with upsampling"
        )
    weight, bias, groups = convolution.weight, convolution.bias, convolution.groups
    padding = cast(tuple[int, int], convolution.padding)
    if isinstance(x, RandomVariable) and x.var is not None:
        return RandomVariable(
            *functional.upsample_convolution(x.mean, x.var, weight, bias, scale, padding, groups)
        )
    if isinstance(x, RandomVariable):
        return RandomVariable(
            functional.upsample_convolution_mean(x.mean, weight, bias, scale, padding, groups)
        )
    return functional.upsample_convolution_mean(x, weight, bias, scale, padding, groups)


class RVSequential(nn.Sequential):
    """An `nn.Sequential` that runs pairs of upsampling and convolution as one on random variables."""

    fuses: bool

    def forward(self, input: Any) -> Any:
        """Runs the children in order; tensors and known variables see them one by one."""
        if not (self.fuses and isinstance(input, RandomVariable)):
            return super().forward(input)
        x: Any = input
        children, done = list(self), 0
        while done < len(children):
            first, second = children[done], children[done + 1] if done + 1 < len(children) else None
            scale = None if x.is_dirac or second is None else fused_scale(first, second)
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
    original, plain = module, plain_type(module)
    if id(original) in done:  # a shared layer stays shared
        return done[id(original)]
    if options.activation == "relu" and plain in _REPLACED_BY_RELU:
        module, plain = nn.ReLU(), nn.ReLU
    twin = twin_type(plain)
    if twin is None and options.strict and needs_rule(module):
        raise unsupported_module(module, path)
    kind = RVSequential if plain is nn.Sequential else twin or plain
    converted = object.__new__(kind)
    # The dictionaries of parameters and buffers themselves are shared, so that replacing a buffer keeps the
    # twins together.
    converted.__dict__.update(module.__dict__)
    done[id(original)] = converted
    children = {
        name: child if child is None else _convert(child, f"{path}.{name}".strip("."), options, done)
        for name, child in module._modules.items()
    }
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
    is_leaf = not any(True for _ in module.children())
    return plain.__module__.startswith("torch.nn.modules") or (is_leaf and bool(module._parameters))


def _integer_scale(module: nn.Module) -> int | None:
    """Returns the factor of a nearest upsampling by a whole number along both axes, None for anything
    else."""
    if not isinstance(module, nn.Upsample) or module.mode != "nearest" or module.size is not None:
        return None
    factor = module.scale_factor
    factors = set(factor) if isinstance(factor, tuple) else {factor}
    scale = factors.pop()
    return int(scale) if not factors and scale is not None and float(scale).is_integer() else None


def _is_fusible_convolution(module: nn.Module) -> bool:
    if plain_type(module) is not nn.Conv2d:
        return False
    assert isinstance(module, nn.Conv2d)
    simple = set(module.stride) == set(module.dilation) == {1} and module.padding_mode == "zeros"
    return (
        simple
        and not isinstance(module.padding, str)
        and all(p < k for p, k in zip(module.padding, module.kernel_size, strict=True))
    )


def _has_hooks(module: nn.Module) -> bool:
    # Old-style weight and spectral norm compute the weight in a hook, which only calling the module runs.
    return bool(module._forward_hooks or module._forward_pre_hooks)
