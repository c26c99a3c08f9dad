"""What the loops of the processor renderer need and numba cannot say: eight pixels at once, and a
counter that threads share. Written in the compiler's own language, LLVM, by `llvmlite`.

Why not a loop over eight: the compiler unrolls it into eight times one, three times as slow; over
sixteen it does not, but most splats touch only eight of sixteen columns, and it would not keep a
row of pixels in registers from splat to splat. Vectors of eight become two of four where the
processor has no wider ones. Numba looks for changes only in the loops' own file: after a change
here, save render/cpu_kernels.py too.
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
BATCH = 32
"""Splats of a tile that are loaded before they are drawn: one bit of a word for each."""
TILE_PIXELS = 256
"""Of a tile; between a pixel's red and its green in what `draw_row` draws into, and so on."""
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
_BATCH_VECTOR, _BATCH_BITS = ir.VectorType(ir.FloatType(), BATCH), ir.IntType(BATCH)
_FLAGS = ("contract", "nsz")


def _all_lanes(value):
    kind, number = (_WHOLE_VECTOR, int) if isinstance(value, int) else (_VECTOR, float)
    return ir.Constant(kind, [number(value)] * LANES)


def _row_of(context, builder, array_type, array, place):
    """A pointer to the eight floats from `array[place]` on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


@njit(cache=True)
def draw_constants():
    """What `draw_row` reads: each number eight times.

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
def draw_row(context, state, place, batch, extents, row, left, constants):
    """Blend the splats of a batch into eight pixels beside each other, in the order of the batch;
    whether one of the eight has 1/255 or more of its light left.

    `batch` [fields, BATCH]: of each splat its centre x and y from the tile's first pixel on, conic
    a, b, c, lift, red, green and blue; from field `extents` on, its first and last row in these
    columns. `row` and `left` are where the eight pixels lie in the tile. `state` holds the red of
    the eight from `place` on, and TILE_PIXELS further each their green, blue and transmittance.
    `constants` is what `draw_constants` gives.
    """

    def generate(context, builder, signature, arguments):
        state, place, batch, extents, row, left, constants = arguments
        state_type, batch_type, constants_type = (signature.args[i] for i in (0, 2, 6))
        numbers = context.make_array(batch_type)(context, builder, batch).data
        width = ir.Constant(place.type, BATCH)

        def all_of(kind, value):
            one = builder.insert_element(
                ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
            )
            same = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
            return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), same)

        def extent(index):
            field = builder.add(extents, ir.Constant(place.type, index))
            at = builder.gep(numbers, [builder.mul(field, width)])
            return builder.load(builder.bitcast(at, _BATCH_VECTOR.as_pointer()), align=4)

        def constant(index):
            at = ir.Constant(place.type, index * LANES)
            return builder.load(_row_of(context, builder, constants_type, constants, at), align=4)

        def add(x, y):
            return builder.fadd(x, y, flags=_FLAGS)

        def subtract(x, y):
            return builder.fsub(x, y, flags=_FLAGS)

        def multiply(x, y):
            return builder.fmul(x, y, flags=_FLAGS)

        # One bit for each splat that touches the row.
        rows = all_of(_BATCH_VECTOR, row)
        touches = builder.and_(
            builder.fcmp_ordered("<=", extent(0), rows), builder.fcmp_ordered(">=", extent(1), rows)
        )
        bits = builder.bitcast(touches, _BATCH_BITS)
        none, one = ir.Constant(_BATCH_BITS, 0), ir.Constant(_BATCH_BITS, 1)
        columns = add(ir.Constant(_VECTOR, [float(x) for x in range(LANES)]), all_of(_VECTOR, left))
        pixels = [
            _row_of(
                context,
                builder,
                state_type,
                state,
                builder.add(place, ir.Constant(place.type, channel * TILE_PIXELS)),
            )
            for channel in range(4)
        ]
        before = [builder.load(each, align=4) for each in pixels]
        start = builder.block
        splats, end = builder.append_basic_block("splats"), builder.append_basic_block("end")
        builder.cbranch(builder.icmp_unsigned("!=", bits, none), splats, end)

        builder.position_at_end(splats)
        left_over = builder.phi(_BATCH_BITS)
        parts = [builder.phi(_VECTOR) for _ in range(4)]
        splat = builder.cttz(left_over, ir.Constant(ir.IntType(1), 1))
        splat = builder.zext(splat, place.type) if place.type.width > BATCH else splat

        def number(field):
            at = builder.add(splat, ir.Constant(place.type, field * BATCH))
            return builder.load(builder.gep(numbers, [at]), align=4)

        gx, gy, a, b, c, lift = (number(field) for field in range(6))
        dy = subtract(gy, row)
        q0 = all_of(_VECTOR, subtract(lift, multiply(multiply(c, dy), dy)))
        q1 = all_of(_VECTOR, multiply(b, dy))
        dx = subtract(all_of(_VECTOR, gx), columns)
        e = subtract(q0, multiply(add(multiply(all_of(_VECTOR, a), dx), q1), dx))
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
        weight = builder.select(
            builder.fcmp_ordered(">=", e, least), multiply(alpha, parts[3]), _all_lanes(0.0)
        )
        after = [
            add(part, multiply(weight, all_of(_VECTOR, number(6 + channel))))
            for channel, part in enumerate(parts[:3])
        ]
        after.append(subtract(parts[3], weight))
        others = builder.and_(left_over, builder.sub(left_over, one))
        left_over.add_incoming(bits, start)
        left_over.add_incoming(others, splats)
        for part, first, again in zip(parts, before, after, strict=True):
            part.add_incoming(first, start)
            part.add_incoming(again, splats)
        builder.cbranch(builder.icmp_unsigned("!=", others, none), splats, end)

        builder.position_at_end(end)
        drawn = [builder.phi(_VECTOR) for _ in range(4)]
        for pixel, each, first, last in zip(pixels, drawn, before, after, strict=True):
            each.add_incoming(first, start)
            each.add_incoming(last, splats)
            builder.store(each, pixel, align=4)
        live = builder.fcmp_ordered(">=", drawn[3], _all_lanes(float(_LEAST_ALPHA)))
        live = builder.bitcast(live, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", live, ir.Constant(live.type, 0))

    whole, single = types.int64, types.float32
    return types.boolean(state, whole, batch, whole, single, single, constants), generate
