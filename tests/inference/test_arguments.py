"""Every argument of every public function refuses what it cannot mean, by its name."""

import inspect
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch

import handvae
from handvae.errors import ArgumentError
from handvae.inference.arguments import _fits

FUNCTIONS = {name: getattr(handvae, name) for name in handvae.__all__ if name[0].islower()}
"""The public functions; a new one is in the tests by being exported."""
PHOTO = handvae.sample_photos()[0]
SOUND = {
    "estimate": {"source": PHOTO},
    "synthesize": {"pose": "open"},
    "transfer": {"appearance": PHOTO, "pose": "open"},
    "load_model": {"name": "lifting"},
    "models": {},
    "poses": {},
    "sample_photos": {},
}
"""Arguments with which each can be called."""
WRONG = (
    object(),
    None,
    True,
    np.True_,
    7,
    2.5,
    -1,
    0,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "a",
    "plane",
    "yes",
    "null\0byte",
    Path("null\0byte"),
    b"open",
    (),
    [None],
    [1, "a"],
    {"a": 1},
    1j,
    torch.zeros(2),
)
"""Values that are wrong for most arguments."""


ARGUMENTS = [(name, one) for name, made in FUNCTIONS.items() for one in inspect.signature(made).parameters]


def test_the_functions_are_all_there():
    assert FUNCTIONS.keys() == SOUND.keys()
    assert len(ARGUMENTS) > 20


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_what_does_not_fit_is_refused_by_the_arguments_name(name, argument):
    hint = get_type_hints(FUNCTIONS[name], include_extras=True)[argument]
    refused = [value for value in WRONG if not _fits(value, hint)]
    assert len(refused) >= 8

    for value in refused:
        with pytest.raises(ArgumentError) as caught:
            FUNCTIONS[name](**SOUND[name] | {argument: value})

        said = str(caught.value)
        assert caught.value.where == argument
        assert len(said.splitlines()) == 1
        assert not any(word in said for word in ("NoneType", "<class", "--", "object at"))


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_what_fits_by_its_type_and_means_nothing_is_a_user_error_too(name, argument):
    hint = get_type_hints(FUNCTIONS[name], include_extras=True)[argument]
    doubtful = [value for value in WRONG if isinstance(value, str | Path | tuple) and _fits(value, hint)]

    for value in doubtful:
        with pytest.raises(handvae.UserError):
            FUNCTIONS[name](**SOUND[name] | {argument: value})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: handvae.estimate(PHOTO, depth="plane"), "depth: is 'plane'; give a DepthFormat or None"),
        (lambda: handvae.estimate(PHOTO, lift="yes"), "lift: is 'yes'; give True or False"),
        (lambda: handvae.estimate(PHOTO, side="both"), "side: is 'both'; give 'left' or 'right' or None"),
        (lambda: handvae.estimate(PHOTO, bone_mm=0), "bone_mm: is 0; give a number from 0.001 to 10000 or"),
        (lambda: handvae.synthesize("open", n=2.5), "n: is 2.5; give a whole number from 1 to"),
        (lambda: handvae.synthesize("open", n=True), "n: is True; give a whole number"),
        (lambda: handvae.synthesize("open", seed="a"), "seed: is 'a'; give a whole number"),
        (lambda: handvae.synthesize(None), "pose: is None; give a string or a path or an array or a list"),
        (lambda: handvae.transfer(PHOTO, "open", pose_box=(1, 2)), "pose_box: is (1, 2); give four numbers"),
        (lambda: handvae.DepthFormat(unit_mm=float("nan")), "unit_mm: is nan; give a number from"),
        (lambda: handvae.DepthFormat(encoding="mono"), "encoding: is 'mono'; give 'plane' or"),
    ],
)
def test_the_line_says_what_to_give(call, words):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value).startswith(words)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_numbers():
    (hand,) = handvae.estimate(PHOTO, bone_mm=np.float32(50), box=np.array([5, 5, 90, 90]), lift=False)
    assert hand.unit_mm == 50
    assert len(handvae.synthesize("open", n=np.int64(2), seed=np.int32(3))) == 2


def test_what_a_function_documents_stays_readable():
    assert "Read the hands" in inspect.getdoc(handvae.estimate)
    assert inspect.signature(handvae.estimate).parameters["lift"].default is True


def test_errors_from_within_name_the_argument_and_no_option_of_the_command_line():
    with pytest.raises(handvae.UserError, match=r"^box: .* does not lie in"):
        handvae.estimate(PHOTO, box=(500, 500, 20, 20))
    with pytest.raises(handvae.UserError, match=r"^view: no view 'front'"):
        handvae.synthesize("open", view="front")


def test_a_path_keeps_its_dashes(tmp_path):
    with pytest.raises(handvae.UserError, match=r"--box\.jpg"):
        handvae.estimate(tmp_path / "--box.jpg")
