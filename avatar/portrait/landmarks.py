"""Faces and people in pictures, by mediapipe, behind an interface of our own.

Only this file and the template's correspondence know mediapipe; a later tracker implements
`FaceFinder`.
mediapipe 0.10.14 carries its models in its wheel (face detection, FaceMesh with iris, selfie
segmentation); it reports dogs as faces, so a face must convince three of its models at once.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from avatar.errors import AssetError, PortraitError
from avatar.portrait.landmark_view import mirror_landmarks
from avatar.types import Float

IRIS_RIGHT = (468, 469, 470, 471, 472)
"""Centre, then the rim, of the avatar's right eye (left in the picture)."""
IRIS_LEFT = (473, 474, 475, 476, 477)
RIGHT_EYE = (33, 160, 158, 133, 153, 144)
LEFT_EYE = (362, 385, 387, 263, 373, 380)
"""Around each opening: corner, two above, corner, two below."""
EYE_CORNERS = (33, 263)
"""Outer corners: right eye, left eye. Their distance is the unit that errors are quoted in."""
LASH_LINES = (33, 246, 161, 160, 159, 158, 157, 173, 263, 466, 388, 387, 386, 385, 384, 398)
"""Along the margins of the upper lids."""
LIPS = ((0, 13), (37, 82), (267, 312), (17, 14), (84, 87), (314, 317))
"""Across both lips: a point of the red's outer border, one of its inner edge."""
OUTER_LIPS = (
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
)  # fmt: skip
"""Once around the red of the lips."""
CHEEKS = (50, 280, 101, 330, 205, 425)
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The outline of the face, once around: hairline, cheeks, jaw."""
CHIN = 152
EAR_LEVEL = (234, 454)
"""On the oval: before the right ear and the left."""
_NOSE_BRIDGE = 168

SHORTEST_EYE_DISTANCE_PX = 24.0
"""Between the outer eye corners; below this the lips are less than ten pixels wide."""
FURTHEST_SIDE_VIEW = 0.60
"""Of `side_view`; more is a profile."""
_UPRIGHT_PX, _UPRIGHT_FACE_PX = 320, 240
"""Side of the picture that FaceMesh is shown again, and of the face's box in it, corner to corner:
its network sees 192 pixels."""
_SAME_FACE = 0.1
"""Landmarks further away on average, in face sizes, belong to another face."""
SURE_CLOSE = 0.90
SURE_FAR = 0.55
SURE_PERSON = 0.78
"""Measured: eight people and paintings score above .92 or .81, and .95 of the face is person; a
dog scores .80 and nothing, and .66."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """One face, in pixels of the picture it was sought in."""

    landmarks: Float
    """[478, 3] pixels, z in the scale of x, smaller is nearer."""

    @property
    def size_px(self) -> float:
        """Diagonal of the box around the face."""
        return float(np.linalg.norm(np.ptp(self.landmarks[:468, :2], axis=0)))

    @property
    def eye_distance_px(self) -> float:
        """Distance of the outer eye corners."""
        right, left = EYE_CORNERS
        return float(np.linalg.norm(self.landmarks[right, :2] - self.landmarks[left, :2]))


class FaceFinder(Protocol):
    """What the portrait pipeline asks of a tracker."""

    def faces(self, image: Float) -> list[FoundFace]:
        """Every face in [H, W, 3] sRGB 0..1, largest first."""
        ...

    def look_again(self, image: Float, face: FoundFace) -> FoundFace:
        """The same face, its landmarks more surely placed; as it was where that fails."""
        ...

    def person(self, image: Float) -> Float:
        """[H, W] 0..1: how surely each pixel shows a person."""
        ...

    def human(self, image: Float, face: FoundFace) -> bool:
        """Whether the face is a person's (photographed, drawn or painted)."""
        ...


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what C++ libraries write to file descriptor 2 out of the user's sight."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # a windowed program without a console has no descriptor 2
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # protobuf and absl announce their deprecations
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


def _solutions() -> Any:
    """mediapipe's parts, which it loads by name, unseen by type checkers.

    Raises: `AssetError` where it is not installed.
    """
    try:
        from mediapipe.python import solutions
    except ImportError as error:
        raise AssetError(
            f"mediapipe cannot be loaded ({error}); it finds the face. Install it with: "
            "python run.py doctor, or pip install --no-deps mediapipe==0.10.14"
        ) from error
    return solutions


def _in_picture(found: Any, left: int, top: int, width: int, height: int) -> FoundFace:
    """A face of FaceMesh, found in a part of a picture, in the picture's pixels."""
    points = [[p.x * width + left, p.y * height + top, p.z * width] for p in found.landmark]
    return FoundFace(np.array(points, np.float32))


class MediapipeFaceFinder:
    """FaceMesh, both face detectors and selfie segmentation of mediapipe 0.10.14-0.10.21.

    Close it, or use it as a context manager: it holds native graphs.
    """

    def __init__(self) -> None:
        with quiet_stderr():
            solutions = _solutions()
            self._mesh: Any = solutions.face_mesh.FaceMesh(
                static_image_mode=True,
                refine_landmarks=True,
                max_num_faces=4,
                min_detection_confidence=0.3,
            )
            self._close_faces: Any = solutions.face_detection.FaceDetection(
                model_selection=0, min_detection_confidence=0.1
            )
            self._far_faces: Any = solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=0.1
            )
            self._person: Any = solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
            # The graphs start, and chatter, with their first picture: let it be an empty one.
            blank = np.zeros((64, 64, 3), np.uint8)
            for graph in (self._mesh, self._close_faces, self._far_faces, self._person):
                graph.process(blank)

    def __enter__(self) -> "MediapipeFaceFinder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graphs."""
        with quiet_stderr():
            for graph in (self._mesh, self._close_faces, self._far_faces, self._person):
                graph.close()

    def faces(self, image: Float) -> list[FoundFace]:
        """Every face, largest first.

        FaceMesh's own detector sees only faces near the camera; the far one's boxes are looked
        into as well.
        """
        found = self._faces_in(image, 0, 0)
        height, width = image.shape[:2]
        for x, y, w, h in self._boxes(image):
            middle = np.array([x + w / 2, y + h / 2])
            if any(np.linalg.norm(f.landmarks[:468, :2].mean(0) - middle) < w for f in found):
                continue
            left, top = max(int(x - 0.7 * w), 0), max(int(y - 0.7 * h), 0)
            right, bottom = min(int(x + 1.7 * w), width), min(int(y + 1.7 * h), height)
            if right - left > 8 and bottom - top > 8:
                found += self._faces_in(image[top:bottom, left:right], left, top)[:1]
        return sorted(found, key=lambda face: -face.size_px)

    def look_again(self, image: Float, face: FoundFace) -> FoundFace:
        """The mean of what FaceMesh sees in the face held upright, and in that in a mirror.

        It crops a face by what its detector guesses, and errs to one side; on renders of known
        landmarks the two looks together err a tenth less than the first, and the worst half.
        """
        right, left = (face.landmarks[i, :2] for i in EYE_CORNERS)
        low, high = face.landmarks[:468, :2].min(0), face.landmarks[:468, :2].max(0)
        tilt = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
        scale = _UPRIGHT_FACE_PX / max(face.size_px, 1.0)
        middle = (low + high) / 2
        upright = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), tilt, scale)
        upright[:, 2] += _UPRIGHT_PX / 2 - middle
        if scale < 1:  # one pixel of the look is a patch of the picture
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.4 / scale), np.float32)
        shown = cv2.warpAffine(
            image, upright, (_UPRIGHT_PX, _UPRIGHT_PX), borderMode=cv2.BORDER_REPLICATE
        )
        shown = np.asarray(shown, np.float32)
        plain = self._faces_in(shown, 0, 0)
        mirrored = self._faces_in(np.ascontiguousarray(shown[:, ::-1]), 0, 0)
        if not plain or not mirrored:
            return face
        other = mirrored[0].landmarks[mirror_landmarks()] * (-1, 1, 1) + (_UPRIGHT_PX, 0, 0)
        mean = (plain[0].landmarks + other) / 2
        back = cv2.invertAffineTransform(upright)
        pixels = (mean[:, :2] - 0.5) @ back[:, :2].T + back[:, 2] + 0.5  # pixel centres turn
        landmarks = np.concatenate([pixels, mean[:, 2:] / scale], 1).astype(np.float32)
        astray = np.linalg.norm(landmarks[:468, :2] - face.landmarks[:468, :2], axis=1).mean()
        return FoundFace(landmarks) if astray < _SAME_FACE * face.size_px else face

    def _boxes(self, image: Float) -> list[tuple[float, float, float, float]]:
        """Left, top, width, height in pixels of what the far detector takes for faces."""
        height, width = image.shape[:2]
        with quiet_stderr():
            detections = self._far_faces.process(_as_bytes(image)).detections or ()
        boxes = [d.location_data.relative_bounding_box for d in detections if d.score[0] > SURE_FAR]
        return [
            (b.xmin * width, b.ymin * height, b.width * width, b.height * height) for b in boxes
        ]

    def _faces_in(self, image: Float, left: int, top: int) -> list[FoundFace]:
        """Faces in the part of a picture that begins at `left`, `top`; in the picture's pixels."""
        height, width = image.shape[:2]
        with quiet_stderr():
            result = self._mesh.process(_as_bytes(image))
        return [
            _in_picture(face, left, top, width, height)
            for face in result.multi_face_landmarks or ()
        ]

    def person(self, image: Float) -> Float:
        """[H, W] 0..1. Segmentation is 256x256 inside; give it the part that matters."""
        with quiet_stderr():
            mask = self._person.process(_as_bytes(image)).segmentation_mask
        return np.clip(np.asarray(mask, np.float32), 0, 1)

    def human(self, image: Float, face: FoundFace) -> bool:
        """Both detectors around the face, and the person mask inside it, must agree."""
        box = crop_box(face, image.shape, around=1.1)
        part = image[box[1] : box[3], box[0] : box[2]]
        pixels = _as_bytes(part)
        with quiet_stderr():
            close, far = (
                max(
                    (face.score[0] for face in detector.process(pixels).detections or ()), default=0
                )
                for detector in (self._close_faces, self._far_faces)
            )
        points = face.landmarks[:468, :2] - (box[0], box[1])
        inside = np.zeros(part.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(points.astype(np.int32)), 1)
        person = self.person(part)[inside > 0]
        share = float(person.mean()) if person.size else 0.0
        return (close >= SURE_CLOSE or far >= SURE_FAR) and share >= SURE_PERSON


class FaceFollower(Protocol):
    """What tracking a film or a camera asks: the same one face, frame after frame."""

    def follow(self, image: NDArray[np.uint8]) -> FoundFace | None:
        """The face in the next frame, [H, W, 3] sRGB bytes; None where it is not seen."""
        ...


class MediapipeFaceFollower:
    """FaceMesh that looks where the face was in the last frame: steadier than finding it anew.

    Where it sees none, the far detector looks for the largest one, and the surroundings of that
    are followed from then on. Close it, or use it as a context manager.
    """

    def __init__(self) -> None:
        with quiet_stderr():
            solutions = _solutions()
            self._mesh: Any = solutions.face_mesh.FaceMesh(
                static_image_mode=False,
                refine_landmarks=True,
                max_num_faces=1,
                min_detection_confidence=0.3,
                min_tracking_confidence=0.5,
            )
            self._far_faces: Any = solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=SURE_FAR
            )
            blank = np.zeros((64, 64, 3), np.uint8)
            for graph in (self._mesh, self._far_faces):
                graph.process(blank)
        self._region: tuple[int, int, int, int] | None = None
        self._size: tuple[int, ...] = ()

    def __enter__(self) -> "MediapipeFaceFollower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the native graphs."""
        with quiet_stderr():
            for graph in (self._mesh, self._far_faces):
                graph.close()

    def follow(self, image: NDArray[np.uint8]) -> FoundFace | None:
        """The face in the next frame, [H, W, 3] sRGB bytes; None where it is not seen."""
        if image.shape != self._size:
            self._size, self._region = image.shape, None
        if self._region is None:
            self._region = self._surroundings(image)
            if self._region is None:
                return None
        left, top, right, bottom = self._region
        with quiet_stderr():
            result = self._mesh.process(np.ascontiguousarray(image[top:bottom, left:right]))
        found = result.multi_face_landmarks
        if not found:
            self._region = None
            return None
        face = _in_picture(found[0], left, top, right - left, bottom - top)
        low, high = face.landmarks[:468, :2].min(0), face.landmarks[:468, :2].max(0)
        beyond = (low < (left, top)) | (high > (right, bottom))
        if np.any(beyond) and (right - left, bottom - top) != (image.shape[1], image.shape[0]):
            self._region = None  # it walks out of its surroundings: seek them anew
        return face

    def _surroundings(self, image: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom around the largest face that the far detector sees."""
        height, width = image.shape[:2]
        with quiet_stderr():
            found = self._far_faces.process(np.ascontiguousarray(image)).detections or ()
        boxes = [detection.location_data.relative_bounding_box for detection in found]
        if not boxes:
            return None
        box = max(boxes, key=lambda b: b.width * b.height)
        x, y, w, h = box.xmin * width, box.ymin * height, box.width * width, box.height * height
        left, top = max(int(x - 1.2 * w), 0), max(int(y - 1.2 * h), 0)
        right, bottom = min(int(x + 2.2 * w), width), min(int(y + 2.2 * h), height)
        return (left, top, right, bottom) if min(right - left, bottom - top) > 16 else None


def crop_box(face: FoundFace, shape: tuple[int, ...], around: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a box that leaves `around` face sizes on every side."""
    low, high = face.landmarks[:468, :2].min(0), face.landmarks[:468, :2].max(0)
    margin = around * float(max(high - low))
    left, top = np.maximum(low - margin, 0).astype(int)
    right, bottom = np.minimum(high + margin, (shape[1], shape[0])).astype(int)
    return int(left), int(top), int(right), int(bottom)


def subject(finder: FaceFinder, image: Float, source: str) -> tuple[FoundFace, int]:
    """The largest human face of the picture, and how many human faces there are.

    Raises:
        PortraitError: no face, no human face, a face that is too small or seen from the side.
    """
    faces = finder.faces(image)
    if not faces:
        raise PortraitError(
            f"{source}: no face found. Use a photograph of one person, looking towards the "
            "camera, with the whole face in light."
        )
    people = [face for face in faces if finder.human(image, face)]
    if not people:
        raise PortraitError(
            f"{source}: the face found does not look like a person's (an animal, a mask, or too "
            "blurred?). Use a clear photograph of one person."
        )
    face = people[0]
    if face.eye_distance_px < SHORTEST_EYE_DISTANCE_PX:
        raise PortraitError(
            f"{source}: the face is {face.eye_distance_px:.0f} pixels between the eyes' corners, "
            f"at least {SHORTEST_EYE_DISTANCE_PX:.0f} are needed (better 100). Use a larger "
            "picture, or one taken nearer."
        )
    if side_view(face) > FURTHEST_SIDE_VIEW:
        raise PortraitError(
            f"{source}: the face is seen from the side. Use a photograph in which the person "
            "looks towards the camera (both eyes visible)."
        )
    return finder.look_again(image, face), len(people)


def side_view(face: FoundFace) -> float:
    """0 for a frontal face, towards 1 for a profile: where the nose bridge lies between the cheeks.

    The bridge, not the tip, so that long noses count no more than short ones.
    """
    right, left, bridge = (face.landmarks[i, :2] for i in (*EAR_LEVEL, _NOSE_BRIDGE))
    across = left - right
    where = float(np.dot(bridge - right, across) / max(float(across @ across), 1e-6))
    return abs(2 * where - 1)


def _as_bytes(image: Float) -> NDArray[np.uint8]:
    return np.ascontiguousarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
