"""A product of experts: Bayes' rule for Gaussians, whichever observations are there."""

import pytest
import torch

from handvae.rv.fusion import fuse
from handvae.rv.variable import RandomVariable

close = torch.testing.assert_close


def test_fusing_is_bayes_rule_for_gaussians():
    """Noisy readings of one z ~ N(0, 1): the product of posteriors is the posterior given all readings."""
    readings, noises = torch.tensor([0.7, -0.2, 1.1]), torch.tensor([0.5, 1.0, 0.3])
    each = [
        RandomVariable((x / s / (1 + 1 / s)).view(1, 1), (1 / (1 + 1 / s)).view(1, 1))
        for x, s in zip(readings, noises, strict=True)
    ]
    precision = 1 + (1 / noises).sum()
    together = fuse(each)
    close(together.var.squeeze(), 1 / precision)
    close(together.mean.squeeze(), (readings / noises).sum() / precision)
    assert fuse(each[:1]) is each[0]


def test_a_row_is_read_from_the_observations_that_it_has():
    """Row by row the same as fusing those alone; a row without any has the prior."""
    generator = torch.Generator().manual_seed(0)
    first, second = (
        RandomVariable(torch.randn(4, 3, generator=generator), torch.rand(4, 3, generator=generator))
        for _ in range(2)
    )
    available_masks = [torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])]
    fused, both = fuse([first, second], available_masks), fuse([first, second])
    close(fused.mean[0], both.mean[0])
    close(fused.mean[1:3], torch.stack([first.mean[1], second.mean[2]]))
    close(fused.var[1:3], torch.stack([first.var[1], second.var[2]]))
    close(fused.mean[3], torch.zeros(3))
    close(fused.var[3], torch.ones(3))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_order_does_not_matter_and_the_variance_only_falls(count):
    generator = torch.Generator().manual_seed(count)
    experts = [
        RandomVariable(torch.randn(5, 4, generator=generator), torch.rand(5, 4, generator=generator))
        for _ in range(count)
    ]
    fused, turned = fuse(experts), fuse(experts[::-1])
    close(fused.mean, turned.mean)
    close(fused.var, turned.var)
    assert all((fused.var <= expert.var + 1e-6).all() for expert in experts)


def test_an_expert_that_is_as_wide_as_the_prior_says_nothing():
    sharp, prior = (
        RandomVariable(torch.tensor([[0.4]]), torch.tensor([[0.2]])),
        RandomVariable(torch.zeros(1, 1), torch.ones(1, 1)),
    )
    close(fuse([sharp, prior]).mean, sharp.mean)
    close(fuse([sharp, prior]).var, sharp.var)
