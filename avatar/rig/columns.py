"""Rows of numbers that wait on disk until their file is put together: memory does not grow."""

import shutil
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray


class Columns:
    """Named growing arrays [T, width], each in a temporary file beside the result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._widths: dict[str, int] = {}
        self.count = 0
        """Rows of each."""

    def append(self, **rows: NDArray[np.floating]) -> None:
        """One row of each; the same names and widths every time."""
        for name, row in rows.items():
            if name not in self._files:
                self._files[name] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self._widths[name] = len(row)
            assert len(row) == self._widths[name], f"{name} changed its width"
            self._files[name].write(np.ascontiguousarray(row, "<f4").tobytes())
        self.count += 1

    def bytes_of(self, name: str) -> int:
        """How long `copy` makes the file longer."""
        return self.count * self._widths[name] * 4

    def copy(self, name: str, out: IO[bytes]) -> None:
        """All rows as little-endian float32."""
        source = self._files[name]
        source.seek(0)
        shutil.copyfileobj(source, out, 1 << 20)

    def rows(self, name: str):
        """The rows, one after the other, [width]."""
        source, size = self._files[name], self._widths[name] * 4
        source.seek(0)
        for _ in range(self.count):
            yield np.frombuffer(source.read(size), "<f4")

    def close(self) -> None:
        """Give the disk back."""
        for file in self._files.values():
            file.close()
