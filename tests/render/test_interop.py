"""Pictures on a fake card into real textures of OpenGL in software: the order of calls, what lands
where, what is given back, and the way through the computer's memory where nothing is shared."""

import ctypes
from collections.abc import Iterator

import moderngl
import numpy as np
import pytest

from render.cuda import CudaRenderer
from render.cuda_compiler import KernelCache
from render.cuda_driver import Card
from render.gl_driver import open_context
from render.renderer import CardPicture, PosingRenderer, TextureRenderer
from tests.render.fake_cuda import calls, failing, fake_library
from tests.render.scenes import front_view, random_gaussians

WRITE = ctypes.CFUNCTYPE(
    None, ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint8)
)


@pytest.fixture(scope="module")
def context() -> Iterator[moderngl.Context]:
    context = open_context()
    with context:
        yield context
    context.release()


@pytest.fixture
def cuda(context, tmp_path_factory) -> Iterator[CudaRenderer]:
    held = fake_library().fake_held()
    cache = KernelCache(tmp_path_factory.getbasetemp() / "shared")
    with CudaRenderer(card=Card(fake_library()), cache=cache, context=context) as renderer:
        yield renderer
    assert fake_library().fake_held() == held


@pytest.fixture
def shared(context) -> Iterator[dict[int, int]]:
    """As where CUDA and OpenGL share a card: what the fake copies lands in the texture. The number
    of copies by texture."""
    copies: dict[int, int] = {}

    def write(number: int, row_bytes: int, rows: int, data: object) -> None:
        picture = np.ctypeslib.as_array(data, (rows, row_bytes))  # pyright: ignore[reportArgumentType]
        texture = context.external_texture(number, (row_bytes // 4, rows), 4, 0, "f1")
        texture.write(np.ascontiguousarray(picture), (0, 0, row_bytes // 4, rows))
        copies[number] = copies.get(number, 0) + 1

    callback = WRITE(write)
    fake_library().fake_on_texture(callback)
    yield copies
    fake_library().fake_on_texture(None)


def pixels(shown: CardPicture) -> np.ndarray:
    width, height = shown.texture.size
    whole = np.frombuffer(shown.texture.read(), np.uint8).reshape(height, width, 4)
    return whole[: shown.height, : shown.width]


def test_finished_pictures_land_in_textures(cuda, shared):
    gaussians, views = random_gaussians(30, seed=1), [front_view(), front_view(focal=80.0)]
    textures = cuda.render_textures(gaussians, views, (0.2, 0.5, 0.7))
    expected = cuda.render_with_alpha(gaussians, views, (0.2, 0.5, 0.7))
    assert [shared[each.texture.glo] for each in textures] == [1, 1]
    for shown, picture in zip(textures, expected, strict=True):
        assert np.array_equal(pixels(shown), picture)
    assert "memory" not in cuda.reason


def test_a_texture_is_registered_once_and_mapped_only_while_it_is_written(cuda, shared):
    gaussians, views = random_gaussians(30, seed=1), [front_view()]
    calls()
    first = cuda.render_textures(gaussians, views)
    made = [name for name in calls() if "Graphics" in name or "2D" in name]
    one_frame = [
        *("cuGraphicsMapResources", "cuGraphicsSubResourceGetMappedArray", "cuMemcpy2DAsync_v2"),
        "cuGraphicsUnmapResources",
    ]
    assert made == ["cuGraphicsGLRegisterImage", *one_frame]
    assert cuda.render_textures(gaussians, views) == first
    made = calls()
    assert [name for name in made if "Graphics" in name or "2D" in name] == one_frame
    assert "cuMemcpyDtoHAsync_v2" not in made[made.index("cuGraphicsMapResources") :]


def test_textures_grow_with_pictures_and_smaller_ones_fill_a_part(cuda, shared):
    gaussians, views = random_gaussians(30, seed=1), [front_view()]
    cuda.render_textures(gaussians, views)
    calls()
    (larger,) = cuda.render_textures(gaussians, [front_view(80, 60)])
    assert larger.texture.size == (larger.width, larger.height) == (80, 60)
    assert calls().count("cuGraphicsUnregisterResource") == 1
    (smaller,) = cuda.render_textures(gaussians, views)
    assert "cuGraphicsGLRegisterImage" not in calls()
    assert smaller.texture.size == (80, 60)
    assert np.array_equal(pixels(smaller), cuda.render_with_alpha(gaussians, views)[0])
    calls()
    two = cuda.render_textures(gaussians, views * 2)
    assert len(two) == 2
    assert calls().count("cuGraphicsGLRegisterImage") == 2
    assert len(cuda.render_textures(gaussians, views)) == 1


def test_releasing_unregisters_before_the_textures_go(context, tmp_path):
    cuda = CudaRenderer(card=Card(fake_library()), cache=KernelCache(tmp_path), context=context)
    cuda.render_textures(random_gaussians(5, seed=1), [front_view()])
    calls()
    cuda.release()
    made = calls()
    assert made.index("cuGraphicsUnregisterResource") < made.index("cuModuleUnload")
    assert made[-1] == "cuDevicePrimaryCtxRelease_v2"


@pytest.mark.parametrize("status", [304, 999, 219])
def test_where_nothing_is_shared_pictures_go_through_memory_and_the_reason_says_so(cuda, status):
    gaussians, views = random_gaussians(30, seed=1), [front_view(), front_view(focal=80.0)]
    assert "memory" not in cuda.reason
    with failing("cuGraphicsGLRegisterImage", status):
        textures = cuda.render_textures(gaussians, views)
    assert (
        f"through the computer's memory, as CUDA and OpenGL do not share a card here ({status})"
        in (cuda.reason)
    )
    expected = cuda.render_with_alpha(gaussians, views)
    for shown, picture in zip(textures, expected, strict=True):
        assert np.array_equal(pixels(shown), picture)
    calls()
    cuda.render_textures(gaussians, [front_view(80, 60)])
    assert "cuGraphicsGLRegisterImage" not in calls()  # it is not tried at each new size


def test_a_second_texture_that_is_refused_gives_the_first_back(cuda, monkeypatch):
    registered = []
    register = cuda._card.register_texture

    def once(texture: int) -> int:
        if registered:
            with failing("cuGraphicsGLRegisterImage", 304):
                return register(texture)
        registered.append(texture)
        return register(texture)

    monkeypatch.setattr(cuda._card, "register_texture", once)
    calls()
    cuda.render_textures(random_gaussians(5, seed=1), [front_view()] * 2)
    made = calls()
    assert made.count("cuGraphicsUnregisterResource") == 1
    assert "cuGraphicsMapResources" not in made


def test_of_several_cards_the_one_that_opengl_draws_on_is_taken():
    assert Card(fake_library()).name == "fake card"
    assert Card(fake_library(), for_opengl=True).name == "second fake card"
    with failing("cuGLGetDevices_v2", 219):
        assert Card(fake_library(), for_opengl=True).name == "fake card"


def test_a_copy_that_fails_still_unmaps(cuda, shared):
    gaussians, views = random_gaussians(5, seed=1), [front_view()]
    cuda.render_textures(gaussians, views)
    calls()
    with failing("cuMemcpy2DAsync_v2", 1), pytest.raises(Exception, match="cuMemcpy2DAsync"):
        cuda.render_textures(gaussians, views)
    assert calls()[-1] == "cuGraphicsUnmapResources"


def test_it_is_what_the_frame_loop_asks_of_renderers_that_pose_and_share_textures(cuda):
    assert isinstance(cuda, TextureRenderer)
    assert isinstance(cuda, PosingRenderer)
    assert cuda.poses


def test_without_a_context_asking_for_textures_is_our_own_mistake(tmp_path):
    with (
        CudaRenderer(card=Card(fake_library()), cache=KernelCache(tmp_path)) as cuda,
        pytest.raises(AssertionError, match="context"),
    ):
        cuda.render_textures(random_gaussians(5, seed=1), [front_view()])
