import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.light import BACKDROPS, PLAIN, Backdrop, Light, backdrop_of


def grey(alpha: int = 255) -> np.ndarray:
    picture = np.full((2, 2, 4), 100, np.uint8)
    picture[..., 3] = alpha
    return picture


def test_plain_light_changes_nothing():
    picture = grey()
    assert Light().on(picture) is picture
    assert Light().gains == (1.0, 1.0, 1.0)


def test_a_stop_is_twice_the_light_and_warm_is_amber():
    brighter = Light(brightness=1.0).on(grey())[0, 0]
    assert brighter[0] == brighter[1] == brighter[2] == round(100 * 2 ** (1 / 2.2))
    warm, cold = (Light(warmth=way).on(grey())[0, 0].astype(int) for way in (1.0, -1.0))
    assert warm[0] > 100 > warm[2]
    assert cold[2] > 100 > cold[0]
    assert warm[1] == cold[1] == 100


@given(brightness=st.floats(-1.5, 1.5), warmth=st.floats(-1, 1), alpha=st.integers(100, 255))
def test_no_colour_ever_exceeds_its_alpha(brightness, warmth, alpha):
    lit = Light(brightness, warmth).on(grey(alpha))
    assert (lit[..., :3] <= alpha).all()
    assert (lit[..., 3] == alpha).all()


def test_a_backdrop_has_a_middle_and_a_plain_one_is_its_colour():
    assert backdrop_of(PLAIN, (0.1, 0.2, 0.3)) == Backdrop.plain((0.1, 0.2, 0.3))
    assert backdrop_of(PLAIN, (0.1, 0.2, 0.3)).middle == (0.1, 0.2, 0.3)
    for name, backdrop in BACKDROPS.items():
        assert backdrop_of(name, (1.0, 0.0, 0.0)) is backdrop
        assert sum(backdrop.near) > sum(backdrop.far)  # its light falls behind the head
