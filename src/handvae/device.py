"""The device that networks run on, found by the name that a user gives."""

import torch

from handvae.errors import UserError

REMEDY = "give cpu, cuda, cuda:0, mps or auto"


def find_device(name: str, option: str = "--device") -> torch.device:
    """The device of that name.

    Args:
        name: cpu, cuda, cuda:0, mps, or auto: the first CUDA device if there is one, else the CPU.
        option: where the name comes from, for the error.

    Raises:
        UserError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")

    kind, colon, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not index.isdecimal()):
        raise UserError(option, f"{name!r} is no device", REMEDY)

    number = int(index) if index else 0
    count = _device_count(kind)
    if number >= count:
        fault = f"{name!r} is not on this machine, which has {count} {kind} device{'s' * (count != 1)}"
        raise UserError(option, fault, "give cpu, or auto for the fastest one there is")

    return torch.device("cpu") if kind == "cpu" else torch.device(kind, number)


def _device_count(kind: str) -> int:
    """Devices of a kind that torch can use here."""
    if kind == "cuda":
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return 1
