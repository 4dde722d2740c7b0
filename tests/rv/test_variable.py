"""The value itself: immutable, a pytree, a citizen among tensors."""

import dataclasses

import pytest
import torch
from torch.utils import _pytree as pytree

from handvae import rv


def test_variable_is_immutable(random_variable):
    with pytest.raises(dataclasses.FrozenInstanceError):
        random_variable(2, 3).mean = torch.zeros(2, 3)


def test_shapes_of_mean_and_variance_must_agree():
    with pytest.raises(ValueError, match="must be equal"):
        rv.RandomVariable(torch.zeros(2, 3), torch.zeros(2, 1))


def test_pytree_round_trip_keeps_dirac_and_random_apart(random_variable):
    tree = {"random": random_variable(2, 3), "dirac": rv.RandomVariable.dirac(torch.ones(2))}
    leaves, structure = pytree.tree_flatten(tree)
    rebuilt = pytree.tree_unflatten(leaves, structure)
    assert len(leaves) == 3
    assert torch.equal(rebuilt["random"].var, tree["random"].var)
    assert rebuilt["dirac"].is_dirac


def test_stacked_layout_is_an_inverse(random_variable):
    variable = random_variable(2, 3, 4)
    rebuilt = rv.RandomVariable.from_stacked(variable.stack())
    assert variable.stack().shape == (2, 2, 3, 4)
    assert torch.equal(
        variable.stack()[:, 1], variable.var
    )  # axis 1 holds the two moments, never a channel: the variance comes second
    assert torch.equal(rebuilt.mean, variable.mean)
    assert torch.equal(rebuilt.var, variable.var)


def test_log_variance_is_clamped():
    variable = rv.RandomVariable.from_logvar(torch.zeros(3), torch.tensor([-100.0, 0.0, 100.0]))
    torch.testing.assert_close(variable.var.log(), torch.tensor([-15.0, 0.0, 5.0]))


def test_draws_have_the_moments_and_the_generator_decides_them(random_variable):
    variable = random_variable(1, 4)
    wide = rv.RandomVariable(variable.mean.expand(100_000, 4), variable.var.expand(100_000, 4))
    draws = wide.sample(torch.Generator().manual_seed(3))
    torch.testing.assert_close(draws.mean(0), variable.mean[0], atol=0.02, rtol=0.0)
    torch.testing.assert_close(draws.var(0), variable.var[0], atol=0.0, rtol=0.03)
    assert torch.equal(draws, wide.sample(torch.Generator().manual_seed(3)))


def test_given_noise_is_used_and_a_dirac_returns_its_value(random_variable):
    variable, noise = random_variable(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(variable.sample(noise=noise), variable.mean + variable.std * noise)
    assert torch.equal(rv.RandomVariable(noise).sample(), noise)


def test_sample_has_a_finite_gradient_at_zero_variance():
    var = torch.zeros(3, requires_grad=True)
    rv.RandomVariable(torch.zeros(3), var).sample(noise=torch.ones(3)).sum().backward()
    assert torch.isfinite(var.grad).all()


def test_kl_is_torch_s_and_one_number_a_sample(random_variable):
    variable = random_variable(3, 4, 2)
    normal = torch.distributions.Normal(variable.mean, variable.std)
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum((1, 2))
    torch.testing.assert_close(variable.kl(), expected)


def test_kl_of_a_dirac_is_refused():
    with pytest.raises(ValueError, match="Dirac"):
        rv.RandomVariable(torch.zeros(2, 3)).kl()


@pytest.mark.parametrize("move", [
    lambda x: x.view(3, 4), lambda x: x.reshape(4, 3), lambda x: x.flatten(), lambda x: x.permute(1, 0),
    lambda x: x[0], lambda x: x[:, 1:], lambda x: x.detach(), lambda x: x.to(torch.float64),
    lambda x: x.unsqueeze(1), lambda x: x.chunk(2, 1)[1], lambda x: x.transpose(0, 1),
    lambda x: x.expand(5, 2, 6), lambda x: x.double(), lambda x: torch.flatten(x),
    lambda x: torch.nn.functional.pad(x, (1, 1)), lambda x: torch.stack([x, x]),
])  # fmt: skip
def test_movements_treat_mean_and_variance_alike(move, random_variable):
    variable = random_variable(2, 6)
    moved = move(variable)
    assert torch.equal(moved.mean, move(variable.mean))
    assert torch.equal(moved.var, move(variable.var))
    assert move(rv.RandomVariable(variable.mean)).is_dirac


def test_antithetic_draws_mirror_each_other_about_the_mean(random_variable):
    variable, noise = random_variable(2, 3), torch.randn(2, 3)
    plus, minus = rv.antithetic(variable, noise)
    torch.testing.assert_close((plus + minus) / 2, variable.mean)
    torch.testing.assert_close(plus, variable.sample(noise=noise))
