"""Model files that lie: numbers that ask for memory, weights that are not those that were written."""

import json
import resource
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from handvae.errors import UserError
from handvae.training.checkpoint import KEY, WEIGHTS, load_model, save_model


def changed(source, target, change) -> None:
    """A copy of a model file whose header and tensors are changed."""
    with safe_open(source, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = dict(file.metadata())
    header = json.loads(metadata[KEY])
    change(header, tensors)
    metadata[KEY] = json.dumps(header)
    save_file(tensors, target, metadata=metadata)


LOAD = """
import sys
from pathlib import Path
from handvae.errors import UserError
from handvae.training.checkpoint import load_model
try:
    load_model(Path(sys.argv[1]))
except UserError as error:
    print(error)
"""

HUGE = {
    "spec.joints": lambda header: header["spec"].update(joints=20_000_000),
    "spec.joints within bounds": lambda header: header["spec"].update(joints=999),
    "spec.size_px": lambda header: header["spec"].update(size_px=10**12),
    "crop.size_px": lambda header: header["crop"].update(size_px=2048),
    "config.encoder_widths": lambda header: header["config"].update(encoder_widths=[8192] * 4),
    "config.decoder_widths": lambda header: header["config"].update(decoder_widths=[8192] * 4),
    "config.encoder_hidden": lambda header: header["config"].update(encoder_hidden=8192),
    "config.appearance_dims": lambda header: header["config"].update(appearance_dims=4096),
    "config.appearance_dims beyond": lambda header: header["config"].update(appearance_dims=10**9),
}


@pytest.mark.parametrize("field", HUGE)
def test_a_header_that_asks_for_memory_gets_none(field, tiny_model, tmp_path):
    """The process may take 3 GiB of addresses in all, most of which PyTorch itself maps."""
    path = tmp_path / "huge.safetensors"
    changed(tiny_model, path, lambda header, tensors: HUGE[field](header))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31))

    run = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, preexec_fn=limit, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "huge.safetensors" in run.stdout
    assert len(run.stdout.splitlines()) == 1


def test_two_flipped_bytes_of_a_weight_are_noticed(tiny_model, tmp_path):
    content = bytearray(tiny_model.read_bytes())
    content[-100] ^= 1
    content[-200] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not those that were written"):
        load_model(tmp_path / "flipped.safetensors")


def test_a_file_of_the_first_edition_has_no_digest_and_is_read(tiny_model, tmp_path):
    with safe_open(tiny_model, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        header = json.loads(file.metadata()[KEY])
    del header["digest"]
    save_file(tensors, tmp_path / "old.safetensors", metadata={KEY: json.dumps(header)})
    assert load_model(tmp_path / "old.safetensors").header.system == "srv_vae"


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_every_shipped_model_has_a_digest(path):
    with safe_open(path, "pt") as file:
        assert len(json.loads(file.metadata()[KEY])["digest"]) == 64


def test_a_full_disk_is_one_line_and_the_old_file_stays(tiny_model, tmp_path, monkeypatch):
    model = load_model(tiny_model)
    path = tmp_path / "kept.safetensors"
    save_model(path, model.system)
    before = path.read_bytes()

    run = subprocess.run(
        [sys.executable, "-c", SAVE, str(tiny_model), str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "cannot be written" in run.stdout or "File too large" in run.stdout
    assert path.read_bytes() == before
    assert [other.name for other in tmp_path.iterdir()] == ["kept.safetensors"]


SAVE = """
import signal, sys
from pathlib import Path
from handvae.errors import UserError
from handvae.training.checkpoint import load_model, save_model
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    save_model(Path(sys.argv[2]), load_model(Path(sys.argv[1])).system)
except (UserError, OSError) as error:
    print(error)
"""


def test_the_weights_of_a_model_that_was_saved_are_those_that_are_loaded(tiny_model, tmp_path):
    model = load_model(tiny_model)
    save_model(tmp_path / "again.safetensors", model.system, dtype=torch.float16)
    again = load_model(tmp_path / "again.safetensors")
    assert again.header.config == model.header.config
