"""The last touch to the generator's lips: what a linear look back at the voice adds to them.

The generator draws lips among everything else, 40 ms at a time, and a little of the voice is lost
on the way. Here it runs through a part of the corpus by itself, and a ridge regression tells the
mouth that the teacher had from the mouth that was drawn and what was heard. What ships with the
weights is applied after the drawing and not fed back: `avatar.speech.motion_network.sharpened`.

How wide the mouth is stays as drawn: what one speaker's corners do to a sound is not what another's
do (fitted to GRID's one speaker, width on nine films of others fell from .39 to .36, while the
opening rose from .649 to .671 with either; measured at two thirds of the training).
"""

import logging

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from avatar.head.template import load_template
from avatar.motion.latent import LATENT_SIZE, MOUTH_CODE, LatentCodec
from avatar.speech.motion_network import (
    ASKED_CENTRE,
    ASKED_SCALE,
    TOKEN_FRAMES,
    MotionNetwork,
    advance,
    clues_of,
    first_state,
    noise_of,
)
from avatar.training.motion_corpus import MotionCorpus
from avatar.training.score import expression_lips
from avatar.types import Float

log = logging.getLogger(__name__)

_STREAMS = 20
"""Of some 45 s, those with tracked lips where there are any: what is heard of real lips is to be
trusted as far as real lips bear it out."""
_WARM_UP = 10
"""Tokens at the beginning of a stream that are left out."""
_RIDGE = 30.0
_EVERY = 4
"""Of the mouths, those that are looked at to see what the code does to the lips."""


def fit_lips_to_voice(
    network: MotionNetwork, codec: LatentCodec, corpus: MotionCorpus, seed: int
) -> tuple[Float, Float]:
    """[C, 40] and [40]: mouth codes of a token's two frames from `clues_of` it."""
    latent = codec.encode(corpus.face())
    chance = np.random.default_rng(seed)
    starts = np.append(np.flatnonzero(corpus.begins), len(corpus.begins))
    lengths = np.diff(starts)
    pool = np.flatnonzero(corpus.tracked[starts[:-1]])
    if not len(pool):
        pool = np.arange(len(lengths))
    chosen = np.unique(pool[np.linspace(0, len(pool) - 1, _STREAMS).astype(int)])
    clues, truth = [], []
    for stream in track(chosen, "fitting the lips to the voice"):
        first = starts[stream]
        state = first_state(network)
        before = None
        for token in range(lengths[stream] // TOKEN_FRAMES):
            rows = slice(first + TOKEN_FRAMES * token, first + TOKEN_FRAMES * (token + 1))
            heard = corpus.heard[rows].astype(np.float32)
            asked = (corpus.asked[rows.start].astype(np.float32) - ASKED_CENTRE) * ASKED_SCALE
            drawn = advance(network, heard, asked, noise_of(chance), state)
            if before is not None and token >= _WARM_UP:
                clues.append(clues_of(drawn, heard, before))
                truth.append(latent[rows, :MOUTH_CODE].reshape(-1))
            before = heard
    x, y = np.stack(clues).astype(np.float64), np.stack(truth).astype(np.float64)
    mouths = y[::_EVERY, :MOUTH_CODE]
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    weight = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y)
    drawn_off = x[:, : y.shape[1]] + (mean_x[: y.shape[1]] - mean_y) - y
    log.info(
        "mouth code off by %.3f as drawn, %.3f after (root mean square)",
        np.sqrt((drawn_off**2).mean()),
        np.sqrt(((x @ weight - y) ** 2).mean()),
    )
    shift = mean_y - mean_x @ weight
    kept = np.kron(np.eye(TOKEN_FRAMES), _width_axis(codec, mouths))
    as_drawn = np.eye(len(weight), len(kept))
    weight = (weight @ (np.eye(len(kept)) - kept)) + as_drawn @ kept
    return weight.astype(np.float32), (shift - shift @ kept).astype(np.float32)


def _width_axis(codec: LatentCodec, mouths: NDArray[np.float64]) -> NDArray[np.float64]:
    """[20, 20] of a mouth code the part that makes the mouth wider and opens it no further.

    From what `mouths` [N, 20] do to the template's lips, which is nearly linear.
    """
    codes = np.zeros((len(mouths), LATENT_SIZE), np.float32)
    codes[:, :MOUTH_CODE] = mouths
    lips = expression_lips(codec.decode(codes).expression, load_template())
    known = np.column_stack([mouths, np.ones(len(mouths))])
    opening, width = np.linalg.lstsq(known, lips[:, :2], rcond=None)[0][:MOUTH_CODE].T
    axis = width - opening * (width @ opening) / (opening @ opening)
    return np.outer(axis, axis) / (axis @ axis)
