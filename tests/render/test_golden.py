"""The picture that was looked at is the picture that is drawn.

`python -m tests.render.golden.make_golden` draws the kept pictures anew.
"""

import numpy as np
import pytest
from PIL import Image

from render.choose import open_renderer
from tests.render.golden.make_golden import BACKGROUND, FOLDER, VIEWS, toy_face


@pytest.mark.parametrize("renderer", ["cpu", "gl", "reference"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_renderer_draws_the_golden_picture(renderer, name):
    with Image.open(FOLDER / f"{name}.png") as picture:
        golden = np.asarray(picture).astype(int)
    drawn = open_renderer(renderer).render(toy_face(), [VIEWS[name]], BACKGROUND)[0]
    # Rounding to bytes may fall either way; where a splat ends at 1/255, once more.
    assert np.abs(drawn - golden).max() <= 2
    assert np.abs(drawn - golden).mean() < 0.02
