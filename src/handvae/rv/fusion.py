"""Several Gaussian posteriors of one latent, each from an observation of its own, as one."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from handvae.rv.variable import RandomVariable


def fuse(
    posteriors: Sequence[RandomVariable], there: Sequence[Bool[Tensor, " batch"]] = ()
) -> RandomVariable:
    """The posterior of a latent that several observations agree on, each of which has a Gaussian posterior of
    its own.

    If the observations depend on one another through z alone, p(z | x_1 .. x_n) is proportional to N(0, I)
    times the product of q_k(z |
    x_k) / N(0, I): precisions and precision-weighted means add (a product of experts). A posterior wider than
    the prior, which no
    evidence makes, adds no precision. One posterior comes back as it is.

    Args:
        posteriors: one for each kind of observation, rows alike.
        there: which rows have that observation; all if not given. A row that has none is left with the prior.
    """
    if len(posteriors) == 1:
        return posteriors[0]
    evidence, weighted = torch.zeros_like(posteriors[0].mean), torch.zeros_like(posteriors[0].mean)
    for number, posterior in enumerate(posteriors):
        precision = 1 / posterior.var_or_zeros()
        heard = torch.ones_like(precision[:, :1]) if not there else there[number][:, None].to(precision)
        evidence = evidence + heard * (precision - 1).clamp_min(0)
        weighted = weighted + heard * precision * posterior.mean
    return RandomVariable(weighted / (1 + evidence), 1 / (1 + evidence))
