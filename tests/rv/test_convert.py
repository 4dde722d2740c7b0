"""Twins: same parameters, same numbers where nothing is random, same keys (acceptance 4 and 5)."""

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from handvae import rv

LAYERS = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "conv, reflected": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 6, 6)),
    "conv, same padding": (lambda: nn.Conv2d(4, 6, 3, padding="same", groups=2), (2, 4, 6, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 3, 3), (2, 4, 9)),
    "transposed conv": (lambda: nn.ConvTranspose2d(4, 6, 4, 2, 1), (2, 4, 5, 5)),
    "batch norm": (lambda: nn.BatchNorm2d(4), (3, 4, 5, 5)),
    "batch norm, cumulative": (lambda: nn.BatchNorm1d(4, momentum=None), (8, 4)),
    "batch norm, untracked": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (3, 4, 5, 5)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (3, 4, 5, 5)),
    "layer norm": (lambda: nn.LayerNorm([5, 5]), (3, 4, 5, 5)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, affine=True), (3, 4, 5, 5)),
    "relu in place": (lambda: nn.ReLU(inplace=True), (3, 4)),
    "leaky relu": (lambda: nn.LeakyReLU(0.2), (3, 4)),
    "prelu": (lambda: nn.PReLU(4), (3, 4)),
    "elu": (lambda: nn.ELU(0.7), (3, 4)),
    "silu": (nn.SiLU, (3, 4)),
    "gelu": (lambda: nn.GELU("tanh"), (3, 4)),
    "softplus": (nn.Softplus, (3, 4)),
    "sigmoid": (nn.Sigmoid, (3, 4)),
    "tanh": (nn.Tanh, (3, 4)),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1), (2, 3, 7, 7)),
    "adaptive pool": (lambda: nn.AdaptiveAvgPool2d((None, 2)), (2, 3, 7, 5)),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1), (2, 3, 7, 7)),
    "max pool, rounded up": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 3, 8, 8)),
    "max pool 1d": (lambda: nn.MaxPool1d(3, 2, 1), (2, 3, 7)),
    "nearest": (lambda: nn.Upsample(scale_factor=2), (2, 3, 4, 4)),
    "bilinear": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4, 4)),
    "bicubic": (lambda: nn.Upsample(size=(5, 7), mode="bicubic"), (2, 3, 4, 4)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (2, 4, 3, 3)),
    "pad": (lambda: nn.ConstantPad2d(1, 3.0), (2, 3, 4, 4)),
    "flatten": (nn.Flatten, (2, 3, 4)),
    "unflatten": (lambda: nn.Unflatten(1, (2, 2)), (2, 4)),
    "dropout in evaluation": (lambda: nn.Dropout(0.5).eval(), (2, 4)),
}


class Block(nn.Module):
    """A residual block with a forward of its own, a tensor that joins, and a shared activation."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.LeakyReLU(0.2)
        self.first = nn.Conv2d(6, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor, extra: Tensor) -> Tensor:
        skip = x
        x = self.activation(self.first(rv.cat([x, extra], 1)))
        return self.activation(self.norm(self.second(x)) + skip)


class Decoder(nn.Module):
    """Everything a user's decoder may do: lists, dictionaries, sequences, views."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 64)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, padding=1), nn.Sigmoid())

    def forward(self, code: Tensor, extra: Tensor) -> Tensor:
        x = self.stem(code).view(-1, 4, 4, 4)
        for block in self.blocks:
            x = block(x, extra)
        return self.head(x)


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(1)
    return Decoder()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 5, generator=generator), torch.randn(3, 2, 4, 4, generator=generator)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_without_variance_equals_the_plain_layer(name, training):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    plain = make().train(training and not name.startswith("dropout"))
    layer, twin, x = copy.deepcopy(plain), rv.to_rv(copy.deepcopy(plain)), torch.randn(shape)
    expected = plain(x.clone())
    for network in (layer, twin):
        output = network(rv.RandomVariable(x, torch.zeros_like(x)))
        torch.testing.assert_close(output.mean, expected, atol=1e-5, rtol=1e-5)
        assert output.var_or_zeros().max() <= 1e-6
        for key, value in plain.state_dict().items():
            torch.testing.assert_close(network.state_dict()[key], value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_dirac_is_bit_identical_and_never_changed_in_place(name):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    plain = make()
    layer, twin, x = copy.deepcopy(plain), rv.to_rv(copy.deepcopy(plain)), torch.randn(shape)
    expected, before = plain(x.clone()), x.clone()
    for network in (layer, twin):
        output = network(rv.RandomVariable.dirac(x))
        assert output.is_dirac
        assert torch.equal(output.mean, expected)
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", LAYERS)
def test_dispatched_layer_and_its_twin_agree(name, random_variable):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make()
    twin, variable = rv.to_rv(copy.deepcopy(layer)), random_variable(*shape)
    expected, output = layer(variable), twin(variable)
    torch.testing.assert_close(output.mean, expected.mean)
    torch.testing.assert_close(output.var, expected.var)


@pytest.mark.parametrize("upsample", ["fused", "plain"])
def test_decoder_with_its_own_forward_runs_unmodified_and_as_a_twin(
    upsample, decoder, inputs, random_variable
):
    decoder.eval()
    twin = rv.to_rv(decoder, upsample=upsample)
    code, extra = random_variable(3, 5), inputs[1]
    modelled, twin_modelled = decoder(code, extra), twin(code, extra)
    if upsample == "plain":  # fused, the variance is another, and with it the mean behind the sigmoid
        torch.testing.assert_close(twin_modelled.mean, modelled.mean)
        torch.testing.assert_close(twin_modelled.var, modelled.var)
    assert torch.equal(twin(*inputs), decoder(*inputs))
    assert torch.equal(twin(rv.RandomVariable(inputs[0]), inputs[1]).mean, decoder(*inputs))


@pytest.mark.parametrize("upsample", ["fused", "plain"])
def test_twins_share_parameter_and_buffer_objects_under_the_same_keys(upsample, decoder):
    twin = rv.to_rv(decoder, upsample=upsample)
    assert list(twin.state_dict()) == list(decoder.state_dict())
    assert all(mine is theirs for mine, theirs in zip(twin.parameters(), decoder.parameters(), strict=True))
    assert all(mine is theirs for mine, theirs in zip(twin.buffers(), decoder.buffers(), strict=True))


@pytest.mark.parametrize("upsample", ["fused", "plain"])
def test_checkpoints_go_both_ways(upsample, decoder, inputs):
    file = io.BytesIO()
    torch.save(decoder.state_dict(), file)
    file.seek(0)
    other = rv.to_rv(Decoder(), upsample=upsample)
    other.load_state_dict(torch.load(file, weights_only=True))
    third = Decoder()
    third.load_state_dict(other.state_dict())
    for network in (decoder, other, third):
        network.eval()
    assert torch.equal(other(*inputs), decoder(*inputs))
    assert torch.equal(third(*inputs), decoder(*inputs))


def test_training_the_twin_moves_the_network_and_its_running_statistics(decoder, inputs, random_variable):
    twin = rv.to_rv(decoder)
    before = copy.deepcopy(decoder.state_dict())
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.1)
    twin(random_variable(3, 5), inputs[1]).mean.sum().backward()
    optimiser.step()
    changed = [key for key, value in decoder.state_dict().items() if not torch.equal(value, before[key])]
    assert "stem.weight" in changed
    assert "blocks.0.norm.running_var" in changed


def test_shared_layers_stay_shared(decoder):
    shared = nn.ReLU()
    twin = rv.to_rv(nn.Sequential(shared, nn.Identity(), shared))
    assert twin[0] is twin[2]


def test_twins_can_be_copied_and_pickled(decoder, inputs, random_variable):
    twin = rv.to_rv(decoder).eval()
    code = random_variable(3, 5)
    expected = twin(code, inputs[1])
    assert torch.equal(copy.deepcopy(twin)(code, inputs[1]).var, expected.var)
    head = pickle.loads(pickle.dumps(twin.head))
    assert type(head[1]) is type(twin.head[1])


def test_conversion_leaves_the_network_alone_and_is_idempotent(decoder):
    twin = rv.to_rv(decoder)
    assert type(decoder.stem) is nn.Linear
    assert type(rv.to_rv(twin).stem) is type(twin.stem)


def test_a_twin_can_be_converted_again_with_other_options(random_variable):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, padding=1))
    variable = random_variable(1, 2, 3, 3)
    again = rv.to_rv(rv.to_rv(pair), upsample="plain")
    assert torch.equal(again(variable).var, rv.to_rv(pair, upsample="plain")(variable).var)


def test_parametrised_layers_compute_their_weight(random_variable):
    torch.manual_seed(0)
    layer = parametrizations.weight_norm(nn.Linear(4, 3))
    variable = random_variable(2, 4)
    output = rv.to_rv(layer)(variable)
    torch.testing.assert_close(output.var, variable.var @ layer.weight.square().T)


def test_hooks_on_a_convolution_keep_it_from_being_fused(random_variable):
    layers = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, padding=1))
    called = []
    layers[1].register_forward_hook(lambda *_: called.append(True))
    rv.to_rv(layers)(random_variable(1, 2, 3, 3))
    assert called


def test_unknown_layers_are_refused_by_name_and_path():
    with pytest.raises(rv.UnsupportedRVOp, match=r"Softmax at 1\.0 .*register_rv\(Softmax\)"):
        rv.to_rv(nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Softmax(1))))


def test_unknown_layers_pass_where_asked_and_fail_when_a_variable_arrives(random_variable):
    twin = rv.to_rv(nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)), strict=False)
    assert twin(torch.randn(2, 3)).shape == (2, 3)
    with pytest.raises(rv.UnsupportedRVOp, match="softmax"):
        twin(random_variable(2, 3))


def test_a_subclass_of_a_known_layer_is_not_taken_for_it():
    class Doubled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return 2.0 * super().forward(input)

    with pytest.raises(rv.UnsupportedRVOp, match="Doubled"):
        rv.to_rv(nn.Sequential(Doubled(2, 2)))


def test_a_registered_layer_is_converted(random_variable):
    class Doubled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2.0 * x

    @rv.register_rv(Doubled, kind=rv.Kind.EXACT, assumption="a factor")
    def _doubled(module: Doubled, x: rv.RandomVariable) -> rv.RandomVariable:
        return rv.RandomVariable(2.0 * x.mean, 4.0 * x.var_or_zeros())

    variable = random_variable(2, 3)
    twin = rv.to_rv(nn.Sequential(Doubled()))
    assert torch.equal(twin(variable).var, 4.0 * variable.var)
    assert [row.kind for row in rv.explain(twin)] == [rv.Kind.EXACT]


def test_official_preset_puts_relu_for_leaky_relu_and_keeps_upsampling_apart(random_variable):
    torch.manual_seed(0)
    network = nn.Sequential(nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3, padding=1))
    by_hand = nn.Sequential(nn.ReLU(), network[1], network[2])
    variable = random_variable(1, 2, 3, 3)
    official, expected = rv.to_rv(network, compat="official"), rv.to_rv(by_hand, upsample="plain")
    assert torch.equal(official(variable).var, expected(variable).var)
    assert rv.Compatibility(activation="relu", upsample="plain") == rv.OFFICIAL
