"""Unpacks pictures as :mod:`streams.contracts.pictures` describes them; the page does the same in JavaScript."""

import gzip

import numpy as np

from streams.packing import Hounsfield


def unpack(packed: bytes, rows: int, columns: int) -> Hounsfield:
    planes = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(2, rows, columns).astype(np.int32)
    folded = planes[0] | planes[1] << 8
    different = (folded >> 1) ^ -(folded & 1)
    hu = np.zeros((rows + 1, columns + 1), np.int32)
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            a, b, c = hu[row, column - 1], hu[row - 1, column], hu[row - 1, column - 1]
            predicted = min(a, b) if c >= max(a, b) else max(a, b) if c <= min(a, b) else a + b - c
            hu[row, column] = predicted + different[row - 1, column - 1]
    return hu[1:, 1:].astype(np.int16)
