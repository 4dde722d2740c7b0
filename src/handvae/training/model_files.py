"""Where shipped models lie and where their headers are: lists of models read this, without torch."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open

from handvae.training.first_edition import modernise_header

KEY = "handvae"
"""Where the header is among the file's metadata."""

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Folder of the shipped models."""


def shipped_header(path: Path) -> dict[str, Any]:
    """The header of a shipped model, in the names of this edition; nothing of it is checked."""
    with safe_open(path, "np") as file:
        return modernise_header(json.loads(file.metadata()[KEY]))
