"""Least squares within bounds, for fits of a face to its landmarks."""

import numpy as np

from avatar.portrait.arrays import Array, Mask


def bounded_least_squares(
    normal: Array, right: Array, lower: Array, upper: Array, held: Mask | None = None
) -> Array:
    """Minimise x'Nx/2 - b'x within bounds by active sets; a few dozen solves of 400 unknowns.

    `held` guesses which unknowns stay at 0, a bound of theirs: a good guess saves solves, a wrong
    one only costs some.
    """
    fixed = np.zeros(len(right), bool) if held is None else held.copy()
    solution = np.zeros(len(right))
    for _ in range(25):
        free = ~fixed
        solution[free] = np.linalg.solve(
            normal[np.ix_(free, free)],
            right[free] - normal[np.ix_(free, fixed)] @ solution[fixed],
        )
        outside = free & ((solution < lower - 1e-9) | (solution > upper + 1e-9))
        if outside.any():
            solution[outside] = np.clip(solution[outside], lower[outside], upper[outside])
            fixed |= outside
            continue
        slope = normal @ solution - right
        release = fixed & (
            ((solution <= lower + 1e-12) & (slope < -1e-6))
            | ((solution >= upper - 1e-12) & (slope > 1e-6))
        )
        if not release.any():
            break
        fixed &= ~release
    return np.clip(solution, lower, upper)
