"""One Gaussian posterior of a latent from several observations of it."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from handvae.rv.variable import RandomVariable


def fuse(
    posteriors: Sequence[RandomVariable], available_masks: Sequence[Bool[Tensor, " batch"]] = ()
) -> RandomVariable:
    """The posterior of a latent given several observations, each with a Gaussian posterior q_k(z | x_k).

    If the observations depend on one another through z alone,
        p(z | x_1 .. x_n)  ~  N(0, I) * product of q_k(z | x_k) / N(0, I)
    so precisions and precision-weighted means add (a product of experts). A posterior that is wider than the
    prior adds no precision: no evidence can make it so wide. One posterior comes back unchanged.

    Args:
        posteriors: one for each kind of observation, with the same rows.
        available_masks: for each posterior the rows that have the observation; empty if all rows have all.
            A row without any observation gets the prior.
    """
    if len(posteriors) == 1:
        return posteriors[0]

    evidence = torch.zeros_like(posteriors[0].mean)  # sum of (1/v_k - 1): the precision above the prior's
    weighted_mean = torch.zeros_like(posteriors[0].mean)  # sum of m_k / v_k
    for number, posterior in enumerate(posteriors):
        precision = 1 / posterior.var_or_zeros()
        if available_masks:
            available = available_masks[number][:, None].to(precision)
        else:
            available = torch.ones_like(precision[:, :1])
        evidence = evidence + available * (precision - 1).clamp_min(0)
        weighted_mean = weighted_mean + available * precision * posterior.mean

    # the prior N(0, I) has precision 1 and mean 0
    return RandomVariable(weighted_mean / (1 + evidence), 1 / (1 + evidence))
