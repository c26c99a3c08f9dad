"""How much light falls on a surface, by the way it faces: nine numbers for each colour.

Irradiance from distant light is very nearly a quadratic polynomial of the normal (Ramamoorthi &
Hanrahan 2001, "An efficient representation for irradiance environment maps"): nine coefficients
of the real spherical harmonics up to order 2. Light is linear here; colours are stored encoded,
and a plain power stands between the two, so that a factor of light is a factor of colour.
"""

import numpy as np

from avatar.types import Float

ENCODING_POWER = 2.2
"""Linear light = encoded colour to this power. The sRGB curve is that but for the darkest tones,
and a power lets light multiply encoded colours (by factor ** (1 / 2.2))."""
COEFFICIENTS = 9
DIMMEST = 0.2
"""Irradiance never falls below about this share of the usual: what a room throws back is left."""
_Y = (0.282095, 0.488603, 1.092548, 0.315392, 0.546274)
HARMONICS = np.array([_Y[0], *[_Y[1]] * 3, *[_Y[2]] * 2, _Y[3], _Y[2], _Y[4]], np.float32)
"""Constants of the nine: Ramamoorthi & Hanrahan 2001, eq. 3."""


def harmonics(normals: Float) -> Float:
    """[N, 9] the real spherical harmonics up to order 2 of [N, 3] unit normals, in the order
    1; y, z, x; xy, yz, 3z^2-1, xz, x^2-y^2."""
    x, y, z = normals[:, 0], normals[:, 1], normals[:, 2]
    rows = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return np.stack(rows, 1) * HARMONICS


def irradiance(light: Float, normals: Float) -> Float:
    """[N, 3] linear light that falls on surfaces facing along [N, 3]; 1 = the usual.

    `light` [9, 3] are the coefficients by colour, in the frame of the normals. The polynomial may
    dip below nothing where no surface told of it: it is bent to stay above 0 (a hyperbola).
    """
    straight = harmonics(normals) @ light
    return 0.5 * (straight + np.sqrt(straight**2 + 4 * DIMMEST**2))
