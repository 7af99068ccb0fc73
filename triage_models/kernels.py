"""Reconstruction kernels that the reader was not made for."""

import re

BONE_KERNELS = (
    re.compile(r"^[BHJQ][A-Z]?([6-9]\d)"),  # Siemens: B60f, H70h, Hr69, J80s …; 10-59 are soft or medium
    re.compile(r"BONE|EDGE|LUNG|ULTRA"),  # GE
    re.compile(r"^Y[BCD]$|^(D|E)$"),  # Philips sharp filters
    re.compile(r"^FC(3\d|5\d|8\d)"),  # Canon/Toshiba: FC30 bone, FC50 lung, FC80 high resolution
)


def is_bone_kernel(kernel: str) -> bool:
    """Is this a kernel for bone or lung? Brain on it is noise, and the reader was not made for it."""
    return any(pattern.search(kernel.strip().upper()) for pattern in BONE_KERNELS)
