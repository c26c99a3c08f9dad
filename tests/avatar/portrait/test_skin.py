"""The hidden half of a drawn face whose albedo and light are known is filled near the truth."""

import numpy as np
import pytest

from avatar.head.rasterise import interpolate, rasterise
from avatar.head.template import HeadTemplate, Part, load_template
from avatar.portrait.camera import CAMERA_DISTANCE_M, PhotoCamera
from avatar.portrait.fit import FaceFit
from avatar.portrait.landmarks import FoundFace
from avatar.portrait.mesh import between_corners, smooth_normals, vertex_normals
from avatar.portrait.sitter import Sitter
from avatar.portrait.skin import Complexion, paint_skin
from avatar.portrait.splats import Lattice, lay
from avatar.shading import ENCODING_POWER, irradiance
from avatar.types import Float, Portrait

SIZE = 320
YAW = np.radians(35.0)
LIGHT = np.zeros((9, 3), np.float32)
LIGHT[:4] = np.array([[3.4], [0.5], [1.0], [-0.8]]) * [1.05, 1.0, 0.95]
"""From the front, from above and from the head's right, which the camera sees."""


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def true_normals(template: HeadTemplate) -> Float:
    flat = smooth_normals(template.vertices, template.triangles)
    return vertex_normals(flat, template.triangles, len(template.vertices)).astype(np.float32)


@pytest.fixture(scope="module")
def truth(template: HeadTemplate, true_normals: Float) -> Float:
    """[V, 3] encoded colours: albedo, the same on both halves, in one-sided light."""
    x, y, _ = template.vertices.T
    mottled = 1 + 0.08 * np.sin(70 * np.abs(x)) * np.cos(55 * y)
    albedo = np.array([0.50, 0.30, 0.22]) * mottled[:, None]
    albedo[template.vertex_part != Part.SKIN] = 0.2
    return (albedo * irradiance(LIGHT, true_normals)) ** (1 / ENCODING_POWER)


@pytest.fixture(scope="module")
def complexion(template: HeadTemplate, truth: Float) -> Complexion:
    """Of a photograph that is taken from the head's right."""
    turn = np.array(
        [[np.cos(YAW), 0, np.sin(YAW)], [0, 1, 0], [-np.sin(YAW), 0, np.cos(YAW)]], np.float32
    )
    camera = PhotoCamera(
        rotation=turn,
        translation=np.array([0, 0.02, -CAMERA_DISTANCE_M], np.float32),
        focal_px=1100 * CAMERA_DISTANCE_M,
        centre_px=(SIZE / 2, SIZE / 2),
    )
    neutral = template.vertices
    shown = template.triangles[template.triangle_part != Part.LASHES]
    drawn = rasterise(camera.project(neutral), shown, SIZE, SIZE)
    image = interpolate(drawn, shown, np.clip(truth, 0, 1))
    image[~drawn.covered] = (0.3, 0.4, 0.5)
    known = np.maximum(template.landmark_triangle, 0)
    at = between_corners(template.landmark_barycentric, neutral[template.triangles[known]])
    face = FoundFace(landmarks=camera.project(at).astype(np.float32))
    portrait = Portrait(
        image=image.astype(np.float32),
        landmarks=face.landmarks,
        person=drawn.covered.astype(np.float32),
        faces_found=1,
    )
    fit = FaceFit(
        camera=camera,
        identity=np.zeros(len(template.identity_names), np.float32),
        expression=np.zeros(52, np.float32),
        gaze=np.zeros(2, np.float32),
        neutral=neutral,
        landmark_error=0.0,
    )
    return Complexion(sitter=Sitter(portrait=portrait, face=face, fit=fit, template=template))


@pytest.fixture(scope="module")
def painted(complexion: Complexion, template: HeadTemplate) -> tuple[Lattice, Float]:
    """Splats over the face's skin, lids excepted, and their colours."""
    sitter = complexion.sitter
    chosen = sitter.on_face & (sitter.lids[template.triangles].max(1) < 0.05)
    chosen &= template.lip[template.triangles].max(1) < 0.05
    lattice = lay(template.vertices, template.triangles, np.where(chosen, 0.003, 0))
    return lattice, paint_skin(complexion, lattice)


def test_the_light_is_found(complexion: Complexion, true_normals: Float):
    face = complexion.face > 0.5
    found = complexion.light.shading(true_normals[face]).mean(1)
    light = irradiance(LIGHT, true_normals[face]).mean(1)
    error = np.abs((found / np.median(found)) / (light / np.median(light)) - 1)
    assert np.median(error) < 0.08
    assert complexion.light.side_light > 1.3


def test_what_the_photograph_hides_is_filled_near_the_truth(
    complexion: Complexion, template: HeadTemplate, truth: Float, painted: tuple[Lattice, Float]
):
    lattice, colour = painted
    corners = template.triangles[lattice.triangle]

    def at_splats(values: Float) -> np.ndarray:
        return between_corners(lattice.barycentric, values[corners])

    trust = at_splats(complexion.trust)
    # The drawing knows no shade of lids and nose.
    left = (lattice.means[:, 0] > 0.02) & (at_splats(complexion.open) > 0.95)
    hidden, seen = (trust < 0.05) & left, trust > 0.95
    assert hidden.sum() > 100
    expected = at_splats(truth)
    error = np.abs(colour - expected).mean(1)
    assert np.median(error[seen]) < 0.015
    # Light from where no skin told of it is taken to be softer than this lamp's.
    assert np.median(error[hidden]) < 0.09
    assert np.quantile(error[hidden], 0.9) < 0.13
    # Copied from the other half without regard to light, it would be too bright.
    copied = np.abs(at_splats(truth[template.mirror]) - expected).mean(1)
    assert np.median(error[hidden]) < 0.65 * np.median(copied[hidden])


def test_no_seam_stands_where_the_photograph_ends(
    complexion: Complexion, template: HeadTemplate, truth: Float
):
    """Along every edge of the mesh, filled colours change little more than the truth does."""
    filled = np.exp((complexion.albedo + np.log(complexion.shading)) / ENCODING_POWER)
    trust = complexion.trust[:, None]
    colour = trust * truth + (1 - trust) * filled
    on_face = template.triangles[complexion.sitter.on_face]
    plain = (complexion.sitter.lids < 0.05) & (template.lip < 0.05) & (complexion.open > 0.95)
    edges = np.concatenate([on_face[:, [k, (k + 1) % 3]] for k in range(3)])
    a, b = edges[plain[edges].all(1)].T
    step = np.abs((colour[a] - colour[b]) - (truth[a] - truth[b])).max(1)
    border = np.abs(complexion.trust[a] + complexion.trust[b] - 1) < 0.9
    assert border.sum() > 50
    assert np.quantile(step[border], 0.98) < 0.06
    length = np.linalg.norm(template.vertices[a] - template.vertices[b], axis=1)
    slope = np.abs(complexion.trust[a] - complexion.trust[b]) / length
    assert np.quantile(slope[border], 0.95) < 1 / 0.002, "trust ends within two millimetres"


def test_all_skin_has_a_sound_colour(complexion: Complexion, template: HeadTemplate):
    everywhere = np.where(template.triangle_part == Part.SKIN, 0.006, 0.0)
    colour = paint_skin(complexion, lay(template.vertices, template.triangles, everywhere))
    assert np.isfinite(colour).all()
    assert colour.min() >= 0
    assert colour.max() <= 1
    assert np.quantile(colour.mean(1), 0.01) > 0.1, "black skin"
