"""Memory that is needed while a backend loads and hardly after it, given back to the system.

Enters: arrays. Leaves: equal arrays that the system may drop from memory. Never: a change of any number; what is read
after being given back is read again from the disk.
"""

import ctypes
import logging
import mmap
import sys
import tempfile

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_LEAST_BYTES = 1 << 20
"""Smaller arrays are not worth a file."""


class SpareMemory:
    """Arrays in files without a name. A backend that keeps a model's weights beside the form in which it computes with
    them, and never reads them again, keeps them here at no cost: 57 MB of the 24 kHz model."""

    def __init__(self) -> None:
        self._mappings: list[mmap.mmap] = []

    def hold(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The array, in a file if it is large and there is room for one. It stays valid as long as it is referred to."""
        if array.nbytes < _LEAST_BYTES or not hasattr(mmap, "MADV_DONTNEED"):  # Windows has none
            return np.ascontiguousarray(array)
        try:
            with tempfile.TemporaryFile() as file:
                file.write(np.ascontiguousarray(array).data)
                file.flush()
                mapping = mmap.mmap(file.fileno(), array.nbytes)
        except OSError as exc:  # no temporary directory, or it is full
            logger.debug("Weights stay in memory: %s", exc)
            return np.ascontiguousarray(array)
        self._mappings.append(mapping)
        return np.frombuffer(mapping, np.float32).reshape(array.shape)

    def give_back(self) -> None:
        """Drop the arrays from memory, and what loading freed: glibc keeps about 40 MB of it for later."""
        for mapping in self._mappings:
            mapping.madvise(mmap.MADV_DONTNEED)
        if sys.platform == "linux":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
            if trim is not None:
                trim(0)
