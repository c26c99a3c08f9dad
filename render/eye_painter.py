"""What each eye of a headset sees: the avatar's picture in a plain room, pointers, the panel.

The avatar arrives as a picture of the part of an eye's view that it fills (`EyePart`), whoever drew
it: `EyePictures` is the one place where it becomes a texture. All else is drawn here, into whatever
framebuffer is given: a headset's own, or one to look at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import moderngl
import numpy as np
from numpy.typing import NDArray

from avatar.types import Float
from render.camera import View
from render.gl_memory import state_put_back
from render.headset import Eye
from render.pose import Matrix, Pose
from render.program import build_program
from render.renderer import CardPicture

NEAR_M, FAR_M = 0.05, 100.0
"""Of the depth that is written, and that a headset's compositor is told."""
PREMULTIPLIED = moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA


@dataclass(frozen=True, slots=True)
class Body:
    """Where the avatar is, as far as the room and its depth want to know."""

    ball_from_room: Matrix
    """[4, 4] makes an ellipsoid around the head a ball of radius 1 around the origin."""
    stand: tuple[float, float, float]
    """Below it on the floor."""


@dataclass(frozen=True, slots=True)
class Board:
    """A flat picture in the room."""

    texture: moderngl.Texture
    """sRGB premultiplied, as OpenGL drew it."""
    pose: Pose
    """Of its middle; it faces along +z."""
    size: tuple[float, float]
    """Width and height, metres."""


class EyePictures:
    """The avatar as both eyes see it, as textures: the one way from a renderer to a headset.

    A renderer that draws on the processor gives bytes (`upload`). One that draws in this context
    gives its own textures instead (`take`), of the same kind: sRGB premultiplied, row 0 on top.
    """

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._own = [self._texture(1, 1) for _ in range(2)]
        self.shown: Sequence[CardPicture] = [CardPicture(each, 1, 1) for each in self._own]
        """Left and right."""

    def upload(self, pictures: NDArray[np.uint8]) -> None:
        """[2, H, W, 4]."""
        height, width = pictures.shape[1:3]
        for side, picture in enumerate(pictures):
            if self._own[side].size != (width, height):
                self._own[side].release()
                self._own[side] = self._texture(width, height)
            self._own[side].write(picture)
        self.shown = [CardPicture(each, width, height) for each in self._own]

    def take(self, pictures: Sequence[CardPicture]) -> None:
        """Those of a renderer, valid until it draws again."""
        for picture in pictures:
            picture.texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self.shown = pictures

    def release(self) -> None:
        for texture in self._own:
            texture.release()

    def _texture(self, width: int, height: int) -> moderngl.Texture:
        texture = self._context.texture((width, height), 4)
        texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        texture.repeat_x = texture.repeat_y = False
        return texture


class EyePainter:
    """Programs and shapes of the room. One context; all calls want it to be current."""

    def __init__(self, context: moderngl.Context, *, is_encoded: bool = True) -> None:
        """`is_encoded`: whether targets take sRGB-encoded bytes as they are."""
        self._context, self._is_encoded = context, is_encoded
        self._eye = build_program(context, "xr_eye.vert", "xr_eye.frag")
        self._mark = build_program(context, "xr_mark.vert", "xr_mark.frag")
        self._board = build_program(context, "xr_board.vert", "xr_board.frag")
        self._corners = context.buffer(np.zeros((4, 2), np.float32))
        self._rectangle = context.vertex_array(self._eye, [(self._corners, "2f", "place")])
        self._masks: list[tuple[moderngl.Buffer, moderngl.VertexArray] | None] = [None, None]
        self._mark_data = context.buffer(reserve=28, dynamic=True)
        self._marks = context.vertex_array(
            self._mark, [(self._mark_data, "3f 4f", "place", "tint")]
        )
        self._board_corners = context.buffer(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32))
        self._boards = context.vertex_array(self._board, [(self._board_corners, "2f", "corner")])

    def show_only(self, masks: Sequence[NDArray[np.float32] | None]) -> None:
        """What each eye can see at all, [T * 3, 2] on the plane 1 m before it; None: everything."""
        self._release_masks()
        for side, mask in enumerate(masks):
            if mask is not None:
                buffer = self._context.buffer(np.ascontiguousarray(mask, np.float32))
                array = self._context.vertex_array(self._eye, [(buffer, "2f", "place")])
                self._masks[side] = buffer, array

    def paint(
        self,
        target: moderngl.Framebuffer,
        size: tuple[int, int],
        side: int | None,
        eye: Eye,
        picture: CardPicture,
        part: View,
        body: Body,
        *,
        marks: Float,
        boards: Sequence[Board] = (),
        room: float = 1.0,
    ) -> None:
        """Fill `target` with what the eye sees: the left (0) or right (1) one of a headset, or one
        without a lens (None). `picture` shows `part`, whose intrinsics count in
        its pixels; `marks` [N * 3, 7] are corners of triangles in the room and their premultiplied
        colours; `room` 0 leaves out all but the avatar."""
        context, program = self._context, self._eye
        with state_put_back(context):
            target.viewport = (0, 0, *size)
            target.use()
            target.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)
            context.enable_only(moderngl.DEPTH_TEST)
            context.depth_func = "<="
            left, right, down, up = np.tan(eye.angles).tolist()
            world_from_eye = eye.pose.matrix()
            _set(program, "frustum", (left, right, down, up))
            _set(program, "lens", tuple(part.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()))
            _set(program, "part", (float(part.width), float(part.height)))
            _set(program, "room_from_eye", tuple(world_from_eye[:3, :3].T.ravel().tolist()))
            _set(program, "eye", eye.pose.position)
            _set(program, "ball_from_room", tuple(body.ball_from_room.T.ravel().tolist()))
            _set(program, "stand", body.stand)
            _set(program, "depth_from", depth_terms(NEAR_M, FAR_M))
            _set(program, "room", room)
            _set(program, "encoded", int(self._is_encoded))
            picture.texture.use(0)
            mask = None if side is None else self._masks[side]
            if mask is not None:
                mask[1].render(moderngl.TRIANGLES)
            else:
                corners = [[left, down], [right, down], [left, up], [right, up]]
                self._corners.write(np.array(corners, np.float32))
                self._rectangle.render(moderngl.TRIANGLE_STRIP)
            clip_from_room = eye.view(*size).clip_from_world(NEAR_M, FAR_M)
            context.enable(moderngl.BLEND)
            context.blend_func = PREMULTIPLIED
            for board in boards:
                self._draw_board(board, clip_from_room)
            self._draw_marks(marks, clip_from_room)

    def release(self) -> None:
        """Give all of it back."""
        self._release_masks()
        for each in (
            *(self._rectangle, self._marks, self._boards, self._corners, self._mark_data),
            *(self._board_corners, self._eye, self._mark, self._board),
        ):
            each.release()

    def _draw_board(self, board: Board, clip_from_room: Matrix) -> None:
        width, height = board.size
        matrix = clip_from_room @ board.pose.matrix() @ np.diag([width, height, 1.0, 1.0])
        _set(self._board, "clip_from_board", tuple(matrix.T.ravel().tolist()))
        _set(self._board, "encoded", int(self._is_encoded))
        board.texture.use(0)
        self._boards.render(moderngl.TRIANGLE_STRIP)

    def _draw_marks(self, marks: Float, clip_from_room: Matrix) -> None:
        if not len(marks):
            return
        self._mark_data.orphan(max(self._mark_data.size, marks.nbytes))
        self._mark_data.write(np.ascontiguousarray(marks, np.float32))
        _set(self._mark, "clip_from_room", tuple(clip_from_room.T.ravel().tolist()))
        _set(self._mark, "encoded", int(self._is_encoded))
        self._marks.render(moderngl.TRIANGLES, vertices=len(marks))

    def _release_masks(self) -> None:
        for mask in self._masks:
            for each in mask or ():
                each.release()
        self._masks = [None, None]


def depth_terms(near: float, far: float) -> tuple[float, float]:
    """a and b of the depth in the buffer, 0..1, of what is `d` metres deep: a + b / d, as
    `View.clip_from_eye` has it."""
    return 0.5 * ((far + near) / (far - near) + 1), -far * near / (far - near)


def pointer_ray(
    start: NDArray[np.float64], end: NDArray[np.float64], eye: Eye, tint: Float
) -> Float:
    """[6, 7] a thin ribbon from a hand towards what it points at, turned to the eye; its far end
    fades. `tint` [4] premultiplied."""
    along, to_eye = end - start, np.array(eye.pose.position) - start
    side = np.cross(along, to_eye)
    side *= RAY_WIDTH_M / 2 / max(float(np.linalg.norm(side)), 1e-9)
    near, far = np.asarray(tint, np.float32), np.asarray(tint, np.float32) * 0.15
    corners = (
        (start - side, near),
        (start + side, near),
        (end + 0.4 * side, far),
        (end - 0.4 * side, far),
    )
    rows = [np.concatenate([place, colour]) for place, colour in corners]
    return np.array([rows[0], rows[1], rows[2], rows[0], rows[2], rows[3]], np.float32)


RAY_WIDTH_M = 0.006


def _set(program: moderngl.Program, name: str, value: float | tuple[float, ...]) -> None:
    uniform = program[name]
    assert isinstance(uniform, moderngl.Uniform)
    uniform.value = value
