"""Eight pixels at once, against the same in plain NumPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit, prange

from render.cpu_vectors import (
    BATCH,
    LANES,
    TILE_PIXELS,
    draw_constants,
    draw_row,
    next_ticket,
)
from render.renderer import LEAST_ALPHA, MOST_ALPHA

EXTENTS = 12


@njit
def drawn(state, place, batch, row, left):
    return draw_row(state, place, batch, EXTENTS, row, left, draw_constants())


@njit(parallel=True)
def tickets_of(threads, counter, taken):
    for _ in prange(threads):
        ticket = next_ticket(counter)
        while ticket < len(taken):
            taken[ticket] += 1
            ticket = next_ticket(counter)


def plain(state, batch, row, left):
    """The eight pixels [4, 8] after the batch."""
    pixels = state.astype(np.float64)
    dx_from = left + np.arange(LANES)
    for gx, gy, a, b, c, lift, *colour, first, last in batch[[*range(9), 12, 13]].T:
        if not first <= row <= last:
            continue
        dx, dy = gx - dx_from, gy - row
        exponent = lift - (a * dx * dx + b * dx * dy + c * dy * dy)
        alpha = np.minimum(MOST_ALPHA, 2.0**exponent)
        weight = np.where(exponent >= np.log2(LEAST_ALPHA), alpha * pixels[3], 0)
        pixels[:3] += np.array(colour)[:, None] * weight
        pixels[3] -= weight
    return pixels


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), row=st.integers(0, 15), side=st.integers(0, 1))
def test_a_row_is_drawn_as_splat_by_splat(seed, row, side):
    rng = np.random.default_rng(seed)
    batch = np.zeros((EXTENTS + 4, BATCH), np.float32)
    batch[:2] = rng.uniform(-4, 20, (2, BATCH))
    batch[[2, 4]] = rng.uniform(0.01, 0.5, (2, BATCH))
    batch[3] = rng.uniform(-1, 1, BATCH) * np.sqrt(batch[2] * batch[4])
    batch[5] = rng.uniform(-8, 0, BATCH)
    batch[6:9] = rng.uniform(size=(3, BATCH))
    batch[12:14] = np.sort(rng.integers(-1, 17, (2, BATCH)), axis=0)
    # Planes of red, green, blue and light; what lies beside the eight pixels stays as it is.
    state = rng.uniform(0.2, 1, 4 * TILE_PIXELS).astype(np.float32)
    before, place = state.copy(), 72
    live = drawn(state, place, batch, np.float32(row), np.float32(side * LANES))
    here = np.add.outer(TILE_PIXELS * np.arange(4), place + np.arange(LANES))
    expected = plain(before[here], batch, row, side * LANES)
    # The power of two is good to 1e-4; a rounded exponent may cross 1/255.
    assert np.abs(state[here] - expected).max() < 1e-3 + LEAST_ALPHA
    assert np.mean(np.abs(state[here] - expected)) < 1e-3
    assert live == (state[here][3].max() >= LEAST_ALPHA)
    others = np.setdiff1d(np.arange(len(state)), here)
    assert np.array_equal(state[others], before[others])


def test_a_row_that_no_splat_touches_stays_as_it_is():
    batch = np.ones((EXTENTS + 4, BATCH), np.float32)
    batch[12:14] = [[3], [2]]
    state = np.full(4 * TILE_PIXELS, 0.5, np.float32)
    assert drawn(state, 0, batch, np.float32(3), np.float32(0))
    assert (state == 0.5).all()


def test_a_row_without_light_is_told():
    batch = np.ones((EXTENTS + 4, BATCH), np.float32)
    batch[12:14] = [[3], [2]]
    state = np.full(4 * TILE_PIXELS, 0.0039, np.float32)
    assert not drawn(state, 0, batch, np.float32(3), np.float32(0))


def test_every_ticket_is_given_once():
    counter, taken = np.zeros(1, np.int64), np.zeros(200_000, np.int64)
    tickets_of(4, counter, taken)
    assert (taken == 1).all()
