"""Settings of a process that trains; each was measured to matter (docs/log)."""

import ctypes
import sys

import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def prepare_process() -> None:
    """Flush denormals, and keep freed memory."""
    # Variances shrink into denormals, which halve the speed of random-variable layers.
    torch.set_flush_denormal(True)

    # glibc gives every freed tensor of more than 32 MiB back to the system and faults its pages in again in
    # the next step; that costs more than the arithmetic on it.
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # None where the C library is not glibc
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_TOP_PAD, 2**28)
