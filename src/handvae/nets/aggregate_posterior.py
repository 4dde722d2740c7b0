"""The aggregate posterior of a latent variable: the Gaussian that fits it over the training images."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

JITTER = 1e-5
"""Added to the covariance's diagonal before its Cholesky factor: rounding may leave it indefinite."""


@dataclass(frozen=True)
class AggregateMoments:
    """Moments of the aggregate posterior, and of what it is made of."""

    mean: Float[Tensor, " latent"]
    covariance: Float[Tensor, "latent latent"]
    posterior_variance: Float[Tensor, " latent"]
    """Mean variance of a single image's posterior."""
    spread_of_means: Float[Tensor, " latent"]
    """Standard deviation of the posteriors' means."""


def aggregate_moments(
    means: Float[Tensor, "image latent"], variances: Float[Tensor, "image latent"]
) -> AggregateMoments:
    """Moments over images, from the mean and variance of each image's posterior."""
    posterior_variance = variances.mean(0)

    # Law of total variance: Cov[z] = Cov[E[z | x]] + E[Var[z | x]].
    covariance = torch.cov(means.T) + torch.diag(posterior_variance)

    return AggregateMoments(
        mean=means.mean(0),
        covariance=covariance,
        posterior_variance=posterior_variance,
        spread_of_means=means.std(0),
    )


def correlated(
    draws: Float[Tensor, "count latent"],
    mean: Float[Tensor, " latent"],
    covariance: Float[Tensor, "latent latent"],
) -> Float[Tensor, "count latent"]:
    """Draws from N(mean, covariance), made of standard normal draws: mean + L e with L L^T = covariance."""
    jitter = JITTER * torch.eye(len(mean), device=draws.device)
    factor = torch.linalg.cholesky(covariance + jitter)
    return mean + draws @ factor.T
