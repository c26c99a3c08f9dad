"""Where FaceMesh's landmarks lie on the head template, found by showing it renders of the template.

    python -m avatar.training.landmark_correspondence [--report FOLDER]

The detector is asked about the painted template from many sides and in three expressions; the
triangle under each landmark is read from the render itself. What the renders say is gathered in
the neutral head, cleaned of outliers, made symmetric and written into the template's file.
"""

import argparse
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from avatar.head.eyeball import IRIS_ANGLE, PUPIL_ANGLE
from avatar.head.pose import pose
from avatar.head.rasterise import TriangleMap, interpolate, rasterise
from avatar.head.template import LANDMARKS, TEMPLATE_PATH, HeadTemplate, Part, load_template
from avatar.training.head_template import write
from avatar.types import ARKIT_NAMES, Float, Index

Double = NDArray[np.float64]

SIZE = 900
"""Pixels of a render's side; FaceMesh looks at 192 of them, but crops the face first."""
_OVERSAMPLING = 2
FOCAL_LENGTH = 3.0
"""In image heights: a portrait lens."""
DISTANCE_M = 0.85
_YAWS = (-28, -14, 0, 14, 28)
_PITCHES = (-12, 0, 12)
_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.35},
    {
        "jawOpen": 0.25,
        "mouthUpperUpLeft": 0.4,
        "mouthUpperUpRight": 0.4,
        "mouthLowerDownLeft": 0.4,
        "mouthLowerDownRight": 0.4,
    },
)
INNER_UPPER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
"""Inner border of the upper lip, from the avatar's right corner to its left one."""
INNER_LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
INNER_CORNERS = (78, 308)
OUTER_CORNERS = (61, 291)
_INNER_SHARES = (0.78, 0.59, 0.40, 0.21, 0.0, -0.21, -0.40, -0.59, -0.78)
"""Where they lie between the middle and the corner, for those that no render shows well; read
against the row reversed, so from the avatar's left to its right."""
IRIS_CENTRES = {468: Part.EYE_RIGHT, 473: Part.EYE_LEFT}
"""Each is followed by four landmarks on the rim of the same iris."""
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The outline of the face: these landmarks slide along it as the head turns."""
_FACING = 0.12
"""A landmark on skin seen more edge-on than this (cosine) says little about where it lies."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A picture and what lies under its pixels, at `SIZE` x `SIZE`."""

    image: NDArray[np.uint8]
    map: TriangleMap


def turned(degrees_yaw: float, degrees_pitch: float) -> Double:
    """[3, 3] eye_from_avatar: what a camera sees that walks to the avatar's left and upwards."""
    yaw, pitch = np.radians(-degrees_yaw), np.radians(degrees_pitch)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    return about_x @ about_y


def project(
    points: Float, rotation: Double, centre: Double, size: int, distance: float = DISTANCE_M
) -> Double:
    """[V, 3] pixels and depth (metres) of points seen from `distance` in front of `centre`."""
    eye = (points - centre) @ rotation.T
    depth = distance - eye[:, 2]
    scale = FOCAL_LENGTH * size / depth
    return np.stack([size / 2 + eye[:, 0] * scale, size / 2 - eye[:, 1] * scale, depth], 1)


def paint(template: HeadTemplate, map: TriangleMap) -> Float:
    """[H, W, 3] a plausible face's colours, so that the detector takes the template for one."""
    triangles = template.triangles
    place = interpolate(map, triangles, template.vertices)
    part = np.where(map.covered, template.triangle_part[np.maximum(map.triangle, 0)], 255)
    colour = np.full((*part.shape, 3), (0.75, 0.78, 0.82), np.float32)
    colour[part == Part.SKIN] = (0.80, 0.62, 0.53)
    lips = interpolate(map, triangles, template.lip[:, None])[..., 0]
    colour = np.where(
        (part == Part.SKIN)[..., None], colour + lips[..., None] * (-0.09, -0.20, -0.14), colour
    )
    x, y = np.abs(place[..., 0]), place[..., 1]
    # 18 mm above the pupils, where the source's brow muscles pull.
    arch = 0.0175 + 0.004 * np.sin(np.clip((x - 0.014) / 0.040, 0, 1) * np.pi * 0.8)
    brow = (np.abs(y - arch) < 0.0035 * (1.25 - (x - 0.014) / 0.040)) & (x > 0.014) & (x < 0.052)
    colour[brow & (part == Part.SKIN) & (place[..., 2] > -0.02)] = (0.35, 0.24, 0.18)
    for kind, value in (
        (Part.MOUTH, (0.25, 0.10, 0.10)),
        (Part.TEETH_UPPER, (0.88, 0.86, 0.80)),
        (Part.TEETH_LOWER, (0.82, 0.80, 0.74)),
        (Part.TONGUE, (0.66, 0.33, 0.33)),
        (Part.GUMS, (0.70, 0.40, 0.38)),
        (Part.LASHES, (0.18, 0.12, 0.10)),
    ):
        colour[part == kind] = value
    colour *= np.where(
        map.covered, interpolate(map, triangles, template.shade[:, None])[..., 0], 1
    )[..., None]
    angle = interpolate(map, triangles, np.nan_to_num(template.eye_angle)[:, None])[..., 0]
    eye = (part == Part.EYE_LEFT) | (part == Part.EYE_RIGHT)
    colour[eye] = (0.93, 0.92, 0.91)
    colour[eye & (angle < IRIS_ANGLE)] = (0.30, 0.21, 0.13)
    colour[eye & (angle < PUPIL_ANGLE)] = (0.03, 0.03, 0.03)
    return colour


def vertex_normals(vertices: Float, triangles: Index) -> Float:
    """[V, 3] unit normals, each the area-weighted mean of its triangles' ones."""
    corners = vertices[triangles]
    faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], faces)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def render(
    template: HeadTemplate,
    vertices: Float,
    rotation: Double,
    centre: Double | None = None,
    distance: float = DISTANCE_M,
    size: int = SIZE,
    hidden: tuple[Part, ...] = (Part.LASHES,),
) -> Rendered:
    """A shaded picture of the painted template, lit from beside the camera."""
    middle = np.array([0, -0.025, 0.0]) if centre is None else np.asarray(centre)
    shown = template.triangles.copy()
    shown[np.isin(template.triangle_part, hidden)] = 0  # collapsed: drawn by nobody
    fine = size * _OVERSAMPLING
    map = rasterise(project(vertices, rotation, middle, fine, distance), shown, fine, fine)
    normal = interpolate(map, template.triangles, vertex_normals(vertices, template.triangles))
    light = rotation.T @ (np.array([0.2, 0.3, 0.9]) / np.linalg.norm([0.2, 0.3, 0.9]))
    facing = np.abs(normal @ light)
    shade = np.where(map.covered, 0.32 + 0.72 * facing, 1.0)
    image = np.clip(paint(template, map) * shade[..., None], 0, 1) ** (1 / 1.2)
    k = _OVERSAMPLING
    image = image.reshape(size, k, size, k, 3).mean((1, 3))
    small = rasterise(project(vertices, rotation, middle, size, distance), shown, size, size)
    return Rendered((image * 255 + 0.5).astype(np.uint8), small)


def observe(template: HeadTemplate) -> tuple[list[Double], list[NDArray[np.uint8]]]:
    """What the detector says: for each landmark [n, 5] neutral place, facing, |yaw|; and pictures.

    A landmark of the inner lips counts only where the mouth is open; elsewhere it lies on both.
    """
    import mediapipe  # heavy, and only this function needs it

    solutions: Any = mediapipe.solutions  # pyright: ignore[reportAttributeAccessIssue]
    found: list[list[NDArray[Any]]] = [[] for _ in range(LANDMARKS)]
    pictures = []
    inner = {*INNER_UPPER, *INNER_LOWER, *INNER_CORNERS}
    with solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.2
    ) as detector:
        for number, weights in enumerate(_EXPRESSIONS):
            expression = np.zeros(len(ARKIT_NAMES), np.float32)
            for name, weight in weights.items():
                expression[ARKIT_NAMES.index(name)] = weight
            vertices = pose(template, template.vertices, expression=expression)
            for yaw in _YAWS:
                for pitch in _PITCHES:
                    rotation = turned(yaw, pitch)
                    rendered = render(template, vertices, rotation)
                    result = detector.process(rendered.image)
                    if not result.multi_face_landmarks:
                        continue
                    points = np.array([(p.x, p.y) for p in result.multi_face_landmarks[0].landmark])
                    pictures.append(_marked(rendered.image, points * SIZE))
                    for landmark, place in _read(template, rendered.map, points, rotation):
                        if number > 0 or landmark not in inner:
                            found[landmark].append(np.append(place, abs(yaw)))
    return [np.array(rows).reshape(-1, 5) for rows in found], pictures


def _read(template: HeadTemplate, map: TriangleMap, points: Double, rotation: Double):
    """(landmark, [neutral x, y, z, facing]) for each landmark that lies on skin facing us."""
    size = len(map.triangle)
    for landmark, (u, v) in enumerate(points):
        column, row = int(u * size), int(v * size)
        if not (0 <= column < size and 0 <= row < size) or map.triangle[row, column] < 0:
            continue
        index = map.triangle[row, column]
        # Lids cover the irises' upper and lower rims: there, skin is as good for the direction.
        wanted = (Part.SKIN, Part.EYE_LEFT, Part.EYE_RIGHT) if landmark >= 468 else (Part.SKIN,)
        if template.triangle_part[index] not in wanted:
            continue
        corners = template.vertices[template.triangles[index]]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        facing = float((rotation @ normal)[2] / max(np.linalg.norm(normal), 1e-12))
        if facing > _FACING:
            yield landmark, np.append(map.barycentric[row, column] @ corners, facing)


def consensus(rows: Double, frontal_only: bool) -> tuple[Double, float]:
    """The place [3] that the observations agree on and their median distance from it, metres."""
    if frontal_only and (rows[:, 4] < 1).sum() >= 4:
        rows = rows[rows[:, 4] < 1]
    middle = np.median(rows[:, :3], axis=0)
    distance = np.linalg.norm(rows[:, :3] - middle, axis=1)
    near = distance <= np.median(distance) * 2.5 + 1e-6
    return np.average(rows[near, :3], axis=0, weights=rows[near, 3]), float(np.median(distance))


def symmetrise(places: Double) -> tuple[Double, Double]:
    """Places [n, 3] moved to the mean with their mirror partner, and the distance they moved.

    The partner is found by the best one-to-one assignment; who has none stays where it is.
    """
    gap = np.linalg.norm((places * [-1, 1, 1])[:, None] - places[None], axis=2)
    _, partner = linear_sum_assignment(gap)
    mutual = (partner[partner] == np.arange(len(places))) & (
        gap[np.arange(len(places)), partner] < 0.015
    )
    moved = np.where(mutual[:, None], (places + places[partner] * [-1, 1, 1]) / 2, places)
    return moved, np.linalg.norm(moved - places, axis=1)


def closest_on_skin(
    template: HeadTemplate, places: Double, allowed: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int32], Float]:
    """Triangle [n] and barycentrics [n, 3] of the skin's nearest points to `places` [n, 3]."""
    candidates = np.flatnonzero(
        (template.triangle_part == Part.SKIN) if allowed is None else allowed
    )
    corners = template.vertices[template.triangles[candidates]].astype(np.float64)
    tree = KDTree(corners.mean(1))
    chosen, weights = [], []
    for place in places:
        near = tree.query(place, k=min(24, len(candidates)))[1]
        near = np.atleast_1d(near)
        points, barycentric = closest_on_triangles(place, corners[near])
        best = int(np.linalg.norm(points - place, axis=1).argmin())
        chosen.append(candidates[near[best]])
        weights.append(barycentric[best])
    return np.array(chosen, np.int32), np.array(weights, np.float32)


def closest_on_triangles(point: Double, corners: Double) -> tuple[Double, Double]:
    """Nearest points [n, 3] on triangles [n, 3, 3] and their barycentrics (Eberly's regions).

    Projection onto the plane where it falls inside, else the best of the three edges.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    options = []
    ab, ac, ap = b - a, c - a, point - a
    d = np.stack([(ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)])
    e = np.stack([(ab * ap).sum(1), (ac * ap).sum(1)])
    determinant = np.maximum(d[0] * d[2] - d[1] ** 2, 1e-30)
    weight_b = (d[2] * e[0] - d[1] * e[1]) / determinant
    weight_c = (d[0] * e[1] - d[1] * e[0]) / determinant
    inside = np.stack([1 - weight_b - weight_c, weight_b, weight_c], 1)
    inside[(inside < 0).any(1)] = np.nan
    options.append(inside)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, second] - corners[:, first]
        share = ((point - corners[:, first]) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-30)
        weights = np.zeros((len(corners), 3))
        weights[:, second] = np.clip(share, 0, 1)
        weights[:, first] = 1 - weights[:, second]
        options.append(weights)
    points = np.stack([np.einsum("nk,nkc->nc", w, corners) for w in options])
    distance = np.nan_to_num(np.linalg.norm(points - point, axis=2), nan=np.inf)
    best = distance.argmin(0)
    rows = np.arange(len(corners))
    return points[best, rows], np.stack(options)[best, rows]


def lip_border(template: HeadTemplate, x: float, upper: bool) -> tuple[int, Float]:
    """Triangle and barycentrics [3] of the edge of a lip at `x`: where the two lips meet.

    The lower lip's edge is its highest point in the plane at x; the upper lip's edge is what lies
    nearest to that (its lowest point is further inside, behind the lower lip).
    """
    options = _lip_crossings(template, x, upper=False)
    # The lip rolls in almost level: of what is within half a millimetre, the front is the edge.
    highest = max(place[1] for place, _, _ in options)
    near = [option for option in options if option[0][1] > highest - 5e-4]
    edge, index, barycentric = max(near, key=lambda option: option[0][2])
    if upper:
        options = _lip_crossings(template, x, upper=True)
        _, index, barycentric = min(options, key=lambda o: float(np.linalg.norm(o[0] - edge)))
    return index, barycentric


def _lip_crossings(
    template: HeadTemplate, x: float, upper: bool
) -> list[tuple[Double, int, Float]]:
    """Where the plane at `x` cuts edges of a lip: place [3], triangle, barycentrics [3].

    What goes down with the jaw is lower lip.
    """
    drop = -template.expression_basis[ARKIT_NAMES.index("jawOpen")][:, 1]
    lips = template.lip > 0.2
    is_lower = drop > 0.5 * drop[lips].max()
    ours = (template.triangle_part == Part.SKIN) & lips[template.triangles].all(1)
    ours &= (is_lower[template.triangles] != upper).all(1)
    found = []
    for index in np.flatnonzero(ours):
        corners = template.vertices[template.triangles[index]].astype(np.float64)
        for first, second in ((0, 1), (1, 2), (2, 0)):
            x0, x1 = corners[first, 0], corners[second, 0]
            if x0 != x1 and min(x0, x1) <= x <= max(x0, x1):
                barycentric = np.zeros(3, np.float32)
                barycentric[second] = (x - x0) / (x1 - x0)
                barycentric[first] = 1 - barycentric[second]
                found.append((barycentric @ corners, int(index), barycentric))
    return found


def iris_points(template: HeadTemplate, centre: int, places: Double) -> dict[int, int]:
    """Landmark -> vertex for an iris: its pole, and which way each of the four rim points lies.

    `places` [4, 3] is about where the detector saw those four.
    """
    eye = template.eye_vertices(IRIS_CENTRES[centre])
    vertices, angle = template.vertices[eye], template.eye_angle[eye]
    rim = np.flatnonzero(np.abs(angle - IRIS_ANGLE) == np.abs(angle - IRIS_ANGLE).min())
    found = {centre: eye.start + int(angle.argmin())}
    arms = places - places.mean(0)
    for number, arm in enumerate(arms):
        axis = np.zeros(3)
        strongest = int(np.abs(arm[:2]).argmax())
        axis[strongest] = np.sign(arm[strongest])
        found[centre + 1 + number] = eye.start + int(rim[(vertices[rim] @ axis).argmax()])
    return found


def correspond(template: HeadTemplate, observations: list[Double]) -> dict[str, NDArray[Any]]:
    """The three landmark tensors of the template's file."""
    triangle = np.full(LANDMARKS, -1, np.int32)
    barycentric = np.zeros((LANDMARKS, 3), np.float32)
    spread = np.ones(LANDMARKS, np.float32)
    known = np.array([i for i in range(468) if len(observations[i]) >= 4])
    agreed = [consensus(observations[i], i in OVAL) for i in known]
    places, moved = symmetrise(np.array([place for place, _ in agreed]))
    spread[known] = np.maximum([s for _, s in agreed], moved)
    triangle[known], barycentric[known] = closest_on_skin(template, places)

    # The inner lips: the detector tells how far from the middle, the template where lips end.
    where = {int(landmark): place for landmark, place in zip(known, places, strict=True)}
    for row, upper in ((INNER_UPPER, True), (INNER_LOWER, False)):
        for right, left, share in zip(row, row[::-1], _INNER_SHARES, strict=True):
            seen = [abs(where[i][0]) for i in (left, right) if i in where]
            width = abs(where[OUTER_CORNERS[0]][0])
            x = np.sign(share) * (np.mean(seen) if seen else abs(share) * width)
            triangle[left], barycentric[left] = lip_border(template, float(x), upper)
            spread[left] = min(spread[left], 0.002)
    for inner, outer in zip(INNER_CORNERS, OUTER_CORNERS, strict=True):
        inwards = (-np.sign(where[outer][0]) * 0.0012, 0, 0.0006)
        triangle[[inner]], barycentric[[inner]] = closest_on_skin(
            template, (where[outer] + inwards)[None]
        )
        spread[inner] = 0.002

    for centre in IRIS_CENTRES:
        rows = observations[centre : centre + 5]
        if min(len(row) for row in rows) < 4:
            continue
        agreed = [consensus(row, frontal_only=True) for row in rows]
        points = iris_points(template, centre, np.array([place for place, _ in agreed[1:]]))
        for (landmark, vertex), (seen, apart) in zip(points.items(), agreed, strict=True):
            triangle[landmark] = np.flatnonzero((template.triangles == vertex).any(1))[0]
            barycentric[landmark] = template.triangles[triangle[landmark]] == vertex
            bias = np.linalg.norm(seen[:2] - template.vertices[vertex, :2])
            spread[landmark] = max(apart, bias)
    return {
        "landmark_triangle": triangle,
        "landmark_barycentric": barycentric,
        "landmark_spread": np.clip(spread, 2e-4, 1).astype(np.float32),
    }


def _marked(image: NDArray[np.uint8], points: Double) -> NDArray[np.uint8]:
    """The picture with a red dot of 3 pixels on each point."""
    result = image.copy()
    for x, y in points.astype(int):
        result[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = (230, 30, 30)
    return result


def landmark_places(template: HeadTemplate, vertices: Float) -> Float:
    """[478, 3] the landmarks on a head `vertices`; nan where the template has none."""
    corners = vertices[template.triangles[np.maximum(template.landmark_triangle, 0)]]
    places = np.einsum("nk,nkc->nc", template.landmark_barycentric, corners)
    places[template.landmark_triangle < 0] = np.nan
    return places


def add_to_template(path: Path = TEMPLATE_PATH, report: Path | None = None) -> None:
    """Finds the correspondence and writes it into the template's file."""
    template = load_template(path)
    observations, pictures = observe(template)
    tensors = correspond(template, observations)
    with safe_open(path, "numpy") as file:
        metadata = json.loads((file.metadata() or {})["template"])
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    write(stored | tensors, metadata, path)
    if report is not None:
        _report(dataclasses.replace(template, **tensors), pictures, report)


def _report(template: HeadTemplate, pictures: list[NDArray[np.uint8]], folder: Path) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        if number % 5 == 2:
            Image.fromarray(picture).save(folder / f"seen_{number:02d}.png")
    rotation = turned(0, 0)
    rendered = render(template, template.vertices, rotation)
    places = landmark_places(template, template.vertices)
    points = project(places[np.isfinite(places[:, 0])], rotation, np.array([0, -0.025, 0]), SIZE)
    Image.fromarray(_marked(rendered.image, points[:, :2])).save(folder / "landmarks.png")


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="find FaceMesh's landmarks on the head template")
    parser.add_argument("--template", type=Path, default=TEMPLATE_PATH)
    parser.add_argument("--report", type=Path, help="folder for pictures to check by eye")
    arguments = parser.parse_args()
    add_to_template(arguments.template, arguments.report)


if __name__ == "__main__":
    main()
