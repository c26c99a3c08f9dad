"""Which splats each tile shows, in which order: the steps on the card between Gaussians and
blending."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from render.camera import View
from render.cuda_driver import Card
from render.cuda_memory import THREADS, CardArray, Kernels

TILE = 16
"""Pixels of a side: `TILE` in shaders/cuda/rules.cuh."""
DIGIT_BITS, DIGITS = 8, 256
PART = 8 * THREADS
"""Numbers that a block sorts: `PART` in shaders/cuda/sort.cu."""
SUM_SHARE = 4 * THREADS
"""Numbers that a block sums up."""
KEY_BITS = 32
"""Of a distance."""
FIRST_CAPACITY = 1 << 16
"""Pairs of splat and tile that there is room for at first."""
_SPLATS, _PAIRS, _UNUSED = 0, 4, 8
"""Where counts lie in `_numbers`, bytes."""
_FLOAT4, _FLOAT2, _WORD = 16, 8, 4
"""Bytes."""


@dataclass(frozen=True, slots=True)
class SplatAddresses:
    """Gaussians on the card: the fields of `avatar.types.Gaussians`, float32, in rows."""

    count: int
    means: int
    rotations: int
    scales: int
    opacities: int
    colours: int


class TileLists:
    """The splats of all views of a call, listed by tile, and the memory that this takes."""

    def __init__(self, card: Card, kernels: Kernels) -> None:
        self._card, self._kernels = card, kernels
        self._capacity = FIRST_CAPACITY
        self._arrays: list[CardArray] = []
        self._views, self._numbers = self._array(), self._array()
        # Of each splat in each view.
        self._screen, self._blues, self._tiles = self._array(), self._array(), self._array()
        self._keys, self._places = self._pair(), self._pair()
        self._starts = self._array()
        # Of each pair of a splat and a tile.
        self._pair_tiles, self._pair_places = self._pair(), self._pair()
        self._ranges, self._counts, self._sums = self._array(), self._array(), self._array()
        self._found = np.zeros(1, np.uint32)

    @property
    def addresses(self) -> tuple[int, int, int, int]:
        """What the drawing kernels read: `screen`, `blues`, `pair_places`, `ranges`."""
        places = self._pair_places[0]
        return self._screen.address, self._blues.address, places.address, self._ranges.address

    @property
    def grid(self) -> tuple[int, int, int]:
        """Columns and rows of tiles, and views."""
        return self._grid

    def project(self, splats: SplatAddresses, views: Sequence[View]) -> None:
        """Put all splats on all screens, sort them by distance, and count their pairs."""
        kernels, width, height = self._kernels, views[0].width, views[0].height
        self._grid = -(-width // TILE), -(-height // TILE), len(views)
        self._splats, self._entries = splats.count, splats.count * len(views)
        entries = self._entries
        self._numbers.room(3 * _WORD)
        self._card.fill(self._numbers.address + _SPLATS, entries, 1)
        self._card.fill(self._numbers.address + _PAIRS, 0, 1)
        if entries == 0:
            return
        kernels.project(
            (-(-splats.count // THREADS), len(views), 1),
            *(splats.means, splats.rotations, splats.scales, splats.opacities, splats.colours),
            *(self._views.take(_packed(views)), splats.count, width, height),
            *(self._screen.room(2 * _FLOAT4 * entries), self._blues.room(_WORD * entries)),
            *(self._tiles.room(_FLOAT2 * entries), self._keys[0].room(_WORD * entries)),
            self._places[0].room(_WORD * entries),
        )
        self._sort(self._keys, self._places, _SPLATS, entries, KEY_BITS)
        kernels.count_tiles(
            -(-entries // THREADS),
            *(self._places[0].address, self._tiles.address, entries),
            self._starts.room(_WORD * entries),
        )
        self._sum(self._starts, entries, _PAIRS)

    def list_pairs(self) -> None:
        """Fill in the lists, as far as there is room."""
        kernels, (columns, rows, views) = self._kernels, self._grid
        tiles, capacity = columns * rows * views, self._capacity
        self._card.fill(self._ranges.room(_FLOAT2 * tiles), 0, 2 * tiles)
        self._pair_places[0].room(_WORD * capacity)
        if self._entries == 0:
            return
        number, blocks = self._numbers.address + _PAIRS, -(-capacity // THREADS)
        kernels.list_pairs(
            blocks,
            *(self._places[0].address, self._tiles.address, self._starts.address, self._entries),
            *(self._splats, columns, columns * rows, number, capacity),
            *(self._pair_tiles[0].room(_WORD * capacity), self._pair_places[0].address),
        )
        bits = max(1, (tiles - 1).bit_length())
        self._sort(self._pair_tiles, self._pair_places, _PAIRS, capacity, bits)
        kernels.find_ranges(
            blocks, self._pair_tiles[0].address, number, capacity, self._ranges.address
        )

    def ask(self) -> None:
        """Have the number of pairs sent, for `complete`."""
        self._card.read(self._numbers.address + _PAIRS, self._found)

    def complete(self) -> bool:
        """Whether all pairs found room, once the card has been waited for; if not, there is room
        now, and `list_pairs` is to be called again."""
        found = int(self._found[0])
        if found <= self._capacity:
            return True
        self._capacity = found + found // 4
        return False

    def release(self) -> None:
        """Give the memory back."""
        for each in self._arrays:
            each.release()

    def _sort(
        self,
        keys: list[CardArray],
        values: list[CardArray],
        number: int,
        capacity: int,
        bits: int,
    ) -> None:
        """Sort the first of `keys` and, along with them, the first of `values`. How many they are
        lies at `number` on the card, at most `capacity`; the second ones take turns with them."""
        kernels, parts = self._kernels, -(-capacity // PART)
        at = self._numbers.address + number
        counts = self._counts.room(_WORD * DIGITS * parts)
        keys[1].room(_WORD * capacity)
        values[1].room(_WORD * capacity)
        for shift in range(0, bits, DIGIT_BITS):
            kernels.count_digits(parts, keys[0].address, at, capacity, shift, parts, counts)
            self._sum(self._counts, DIGITS * parts, _UNUSED)
            kernels.place_digits(
                parts,
                *(keys[0].address, values[0].address, at, capacity, shift, parts, counts),
                *(keys[1].address, values[1].address),
            )
            keys.reverse()
            values.reverse()

    def _sum(self, values: CardArray, count: int, total: int) -> None:
        """Each of `values` becomes the sum of those before it; that of all goes to `total`."""
        blocks = -(-count // SUM_SHARE)
        sums = self._sums.room(_WORD * blocks)
        self._kernels.sum_blocks(blocks, values.address, count, sums)
        self._kernels.sum_sums(1, sums, blocks, self._numbers.address + total)
        self._kernels.add_sums(blocks, values.address, count, sums)

    def _array(self) -> CardArray:
        self._arrays.append(CardArray(self._card))
        return self._arrays[-1]

    def _pair(self) -> list[CardArray]:
        return [self._array(), self._array()]


def _packed(views: Sequence[View]) -> np.ndarray:
    """[C, 16] float32: rows of camera_from_world, then focal x, y and centre x, y."""
    packed = np.empty((len(views), 16), np.float32)
    for row, view in zip(packed, views, strict=True):
        row[:12] = view.camera_from_world[:3].ravel()
        row[12:] = view.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    return packed
