"""Write a ``.npy`` file row by row.

Not through a memory map: a disk that fills under a map ends the process by SIGBUS, and under a
write it is an error that can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayFile(AbstractContextManager["ArrayFile"]):
    """A ``.npy`` file of ``[count, *shape]`` that takes its rows in order.

    Args:
        path: The file; one that is there is replaced.
        dtype: Of the array.
        shape: ``[count, *shape]``.
    """

    def __init__(self, path: Path, dtype: str, shape: Sequence[int]) -> None:
        self._count, *row_shape = shape
        self._row_shape = tuple(row_shape)
        self._dtype = np.dtype(dtype)
        self._written = 0
        self._file = path.open("wb")
        npy: Any = np.lib.format  # numpy has no types for this function
        npy.write_array_header_1_0(
            self._file,
            {"descr": self._dtype.str, "fortran_order": False, "shape": tuple(shape)},
        )

    def append(self, row: NDArray[Any]) -> None:
        """Write the next row.

        Raises:
            ValueError: Its shape or dtype is not that of a row, or there are enough rows.
            OSError: The file system refused.
        """
        if row.shape != self._row_shape or row.dtype != self._dtype:
            raise ValueError(f"a row is {row.dtype}{row.shape}, not {self._dtype}{self._row_shape}")
        if self._written == self._count:
            raise ValueError(f"there is no row after the {self._count} of the file")
        self._file.write(np.ascontiguousarray(row).tobytes())
        self._written += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file.

        Raises:
            ValueError: The block ended well, and rows are missing.
            OSError: The file system refused.
        """
        self._file.close()
        if kind is None and self._written != self._count:
            raise ValueError(f"{self._written} rows were written of {self._count}")
