"""Numeric arrays out of MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat, whosmat

from handvae.data.dataset import GIVE_ORIGINAL, require_size
from handvae.errors import UserError

MAX_NUMBERS = 2**27
"""An array with more is refused before it is decompressed; NYU's largest has 24 million."""

MAX_BYTES = 2**33


def read_mat(path: Path, *names: str) -> dict[str, Any]:
    """Variables of a MATLAB file (format 5 or 7); all of them if none is named.

    Raises:
        UserError: it cannot be read, or lacks one of the names, or one is too large.
    """
    require_size(path, MAX_BYTES)
    try:
        # the headers alone: sizes are checked before anything is decompressed
        shapes = {name: shape for name, shape, _ in whosmat(path)}
        for name in names or shapes:
            if name not in shapes:
                raise UserError(path, f"holds no {name}", GIVE_ORIGINAL)
            if np.prod(shapes[name], dtype=np.float64) > MAX_NUMBERS:
                raise UserError(path, f"{name} has more than {MAX_NUMBERS:,} numbers", GIVE_ORIGINAL)

        content = loadmat(path, variable_names=list(names) or None)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror or error})", "check the file") from error
    except UserError:
        raise
    except Exception as error:
        # a damaged file raises nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        fault = f"is no MATLAB file that can be read ({reason[:120]})"
        raise UserError(path, fault, GIVE_ORIGINAL) from error

    # names that begin with __ are the file's own
    return {name: value for name, value in content.items() if not name.startswith("__")}
