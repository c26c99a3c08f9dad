"""What the encoder will say is guessed well, from what is known, and from a file that is whole."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from app.bundled import ASSETS
from avatar.errors import AssetError
from avatar.speech.features import FRAME, FeatureState, extract
from avatar.speech.foresight import (
    FORMAT,
    PAST,
    Foresight,
    ForesightState,
    check_foresight,
    foresee,
    load_foresight,
    parse_foresight,
)
from avatar.speech.network import advance, initial_state, load_network
from avatar.training.recordings import read_sound


def test_guesses_are_nearer_to_what_the_encoder_will_say_than_what_it_says_now() -> None:
    network, foresight = load_network(), load_foresight()
    check_foresight(foresight, network)
    sound = read_sound(ASSETS / "samples" / "line.flac")
    state, past = initial_state(network), ForesightState()
    said, guessed = [], []
    for values in extract(np.pad(sound, (FRAME * 60, FRAME * 10)), FeatureState()).values:
        outputs, lips = advance(network, values, state)
        assert lips is not None
        said.append(np.concatenate([outputs, lips]))
        guessed.append(np.concatenate(foresee(foresight, state.stream, outputs, lips, past)))
    ahead = foresight.frames
    later, now, guess = np.array(said[ahead:]), np.array(said[:-ahead]), np.array(guessed[:-ahead])
    guessed_r, held_r = (
        np.array([np.corrcoef(one[:, k], later[:, k])[0, 1] for k in range(later.shape[1])])
        for one in (guess, now)
    )
    assert (guessed_r > held_r).mean() > 0.9
    assert (1 - guessed_r[-6:] < 0.7 * (1 - held_r[-6:])).all()  # contacts and lips
    assert (guessed_r[-3:] > 0.93).all()
    assert (np.abs(guess.std(0) / later.std(0) - 1)[-3:] < 0.15).all()  # as lively


def test_the_past_is_that_of_the_sound_and_begins_as_its_first_frame() -> None:
    state = ForesightState()
    first = state.remember(np.full(2, 1.0, np.float32))
    assert np.array_equal(first, np.ones(2 * len(PAST)))
    for value in range(2, 6):
        state.remember(np.full(2, value, np.float32))
    known = state.remember(np.full(2, 6, np.float32))
    assert np.array_equal(known.reshape(-1, 2)[:, 0], [6 - ago for ago in PAST])
    fork = state.copy()
    fork.remember(np.full(2, 9, np.float32))
    assert np.array_equal(state.remember(np.full(2, 7, np.float32))[:4], [7, 7, 6, 6])


def contents(weight: np.ndarray, frames: object = 2, version: int = FORMAT) -> bytes:
    tensors = {"weight": weight, "shift": np.zeros(weight.shape[1], np.float32)}
    return save(tensors, {"visavis": json.dumps({"format": version, "frames": frames})})


def test_damaged_files_are_refused() -> None:
    right = np.zeros((12, 3), np.float32)
    assert parse_foresight(contents(right)).frames == 2
    for wrong in (
        b"",
        contents(right)[:-5],
        contents(right, frames=0),
        contents(right, frames=5),
        contents(right, frames=None),
        contents(np.full((12, 3), np.inf, np.float32)),
        contents(right, version=FORMAT + 1),
        save({"weight": right}, {"visavis": json.dumps({"format": FORMAT, "frames": 1})}),
    ):
        with pytest.raises(AssetError, match=r"foresight\.safetensors"):
            parse_foresight(wrong)


def test_a_map_for_another_encoder_is_refused() -> None:
    known = load_foresight()
    other = Foresight(known.frames, known.weight[:-1], known.shift)
    with pytest.raises(AssetError, match=r"foresight\.safetensors"):
        check_foresight(other, load_network())
