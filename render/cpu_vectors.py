"""What the loops of the processor renderer need and numba cannot say: eight pixels at once, and a
counter that threads share. Written in the compiler's own language, LLVM, by `llvmlite`.

Why not a loop over eight: the compiler unrolls it into eight times one, three times as slow; over
sixteen it does not, but most splats touch eight of sixteen columns. Vectors of eight become two of
four where the processor has no wider ones. Numba looks for changes only in the loops' own file:
after a change here, save render/cpu_kernels.py too.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from render.renderer import LEAST_ALPHA, MOST_ALPHA

LANES = 8
"""Numbers in a vector."""
TILE_PIXELS = 256
"""Of a tile; between a pixel's red and its green in what `blend_row` draws into, and so on."""
_LEAST_ALPHA, _MOST_ALPHA = np.float32(LEAST_ALPHA), np.float32(MOST_ALPHA)
_LEAST_EXPONENT = np.float32(math.log2(LEAST_ALPHA))

_instruction = cast("Callable[[Callable[..., Any]], Callable[..., Any]]", intrinsic)
"""Callers do not give the context, the first parameter, which numba's types cannot tell."""


@_instruction
def next_ticket(context, counter):
    """The number in `counter` [1] int64, which grows by one; no two threads get the same."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate


_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_WHOLE_VECTOR = ir.VectorType(ir.IntType(32), LANES)
_FLAGS = ("contract", "nsz")


def _all_lanes(value):
    kind, number = (_WHOLE_VECTOR, int) if isinstance(value, int) else (_VECTOR, float)
    return ir.Constant(kind, [number(value)] * LANES)


def _row_of(context, builder, array_type, array, place):
    """A pointer to the eight floats from `array[place]` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


@njit(cache=True)
def blend_constants():
    """What `blend_row` reads: each number eight times.

    From memory, because an arithmetic instruction can take them from there; constants in the code
    are spread over a register first, each time anew: a quarter more instructions.
    """
    constants = np.empty((7, LANES), np.float32)
    constants[0] = np.float32(1.5 * 2**23)
    # Minimax cubic of 2 ** f for f in -1/2..1/2.
    constants[1], constants[2] = np.float32(0.055171), np.float32(0.24261)
    constants[3], constants[4] = np.float32(0.693263), np.float32(0.999928)
    constants[5], constants[6] = _MOST_ALPHA, _LEAST_EXPONENT
    return constants.reshape(-1)


@_instruction
def blend_row(context, state, place, constants, q0, q1, a, gx, red, green, blue):
    """Blend a splat into the eight pixels that lie `gx` left of its centre and less:
    ``alpha = 2 ** (q0 + (q1 - a dx) dx)``, to 1e-4 relative, where that is 1/255 or more.

    `state` holds the red of the eight from `place` on, and TILE_PIXELS further each their green,
    blue and transmittance. `constants` is what `blend_constants` gives.
    """

    def generate(context, builder, signature, arguments):
        array, place, constants, *numbers = arguments

        def spread(value):
            first = builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
            )
            return builder.shuffle_vector(
                first,
                ir.Constant(_VECTOR, ir.Undefined),
                ir.Constant(_WHOLE_VECTOR, [0] * LANES),
            )

        def add(x, y):
            return builder.fadd(x, y, flags=_FLAGS)

        def subtract(x, y):
            return builder.fsub(x, y, flags=_FLAGS)

        def multiply(x, y):
            return builder.fmul(x, y, flags=_FLAGS)

        def constant(index):
            at = ir.Constant(place.type, index * LANES)
            return builder.load(
                _row_of(context, builder, signature.args[2], constants, at), align=4
            )

        q0, q1, a, gx, *colour = (spread(number) for number in numbers)
        dx = subtract(gx, ir.Constant(_VECTOR, [float(x) for x in range(LANES)]))
        e = add(q0, multiply(subtract(q1, multiply(a, dx)), dx))
        # 2 ** e: the sum with 1.5 * 2**23 has e, rounded to a whole number, in its lowest bits; a
        # cubic on -1/2..1/2 for the rest. Below -126 it is nonsense, and not used.
        rounds = constant(0)
        shifted = builder.fadd(e, rounds)
        f = subtract(e, builder.fsub(shifted, rounds))
        p = constant(1)
        for index in (2, 3, 4):
            p = add(multiply(p, f), constant(index))
        power = builder.shl(builder.bitcast(shifted, _WHOLE_VECTOR), _all_lanes(23))
        alpha = builder.bitcast(builder.add(builder.bitcast(p, _WHOLE_VECTOR), power), _VECTOR)
        most, least = constant(5), constant(6)
        alpha = builder.select(builder.fcmp_ordered("<", alpha, most), alpha, most)
        rows = [
            _row_of(
                context,
                builder,
                signature.args[0],
                array,
                builder.add(place, ir.Constant(place.type, channel * TILE_PIXELS)),
            )
            for channel in range(4)
        ]
        through = builder.load(rows[3], align=4)
        weight = builder.select(
            builder.fcmp_ordered(">=", e, least), multiply(alpha, through), _all_lanes(0.0)
        )
        for row, part in zip(rows, colour, strict=False):
            before = builder.load(row, align=4)
            builder.store(add(before, multiply(weight, part)), row, align=4)
        builder.store(subtract(through, weight), rows[3], align=4)
        return context.get_dummy_value()

    numbers = (types.float32,) * 7
    return types.void(state, types.int64, constants, *numbers), generate


@_instruction
def row_is_live(context, state, place):
    """Whether one of the eight numbers from `state[place]` on is 1/255 or more."""

    def generate(context, builder, signature, arguments):
        row = _row_of(context, builder, signature.args[0], *arguments)
        light = builder.load(row, align=4)
        live = builder.fcmp_ordered(">=", light, _all_lanes(float(_LEAST_ALPHA)))
        bits = builder.bitcast(live, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(state, types.int64), generate
