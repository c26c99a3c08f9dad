"""The network at work, against the same weights in torch."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from avatar.errors import AssetError
from avatar.speech.features import FEATURES
from avatar.speech.network import (
    DILATIONS,
    LOOK_AHEAD_FRAMES,
    READOUT_DILATIONS,
    SpeechNetwork,
    advance,
    initial_state,
    load_network,
    parse_network,
)
from avatar.training import speech_model
from avatar.training.phones import ARTICULATORS, PHONE_CLASSES
from avatar.types import Float


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SpeechNetwork, bytes, Float, Float]:
    """A small random network, its file, and what torch says to random features."""
    torch.manual_seed(0)
    model = speech_model.SpeechModel(width=24).eval()
    readouts = [speech_model.LipReadout(24, width=width).eval() for width in (12, 8, 12)]
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    speech_model.save_weights(path, model, readouts, {"format": 2, "mean": -4.5, "spread": 3.0})
    model, loaded, _ = speech_model.load_weights(path)
    assert len(loaded) == 3
    features = np.random.default_rng(0).normal(-4.5, 3, (200, FEATURES)).astype(np.float32)
    with torch.no_grad():
        standard = torch.from_numpy((features + 4.5) / 3.0)[None]
        outputs, lips = speech_model.run_both(
            model.eval(), [one.eval() for one in loaded], standard
        )
    contents = path.read_bytes()
    said = torch.cat([outputs, lips], -1)[0].numpy()
    return parse_network(contents), contents, features, said


def test_one_frame_at_a_time_says_what_torch_says_to_the_whole(
    trained: tuple[SpeechNetwork, bytes, Float, Float],
) -> None:
    network, _, features, expected = trained
    state = initial_state(network)
    rows = []
    for values in features:
        outputs, lips = advance(network, values, state)
        assert lips is not None
        rows.append(np.concatenate([outputs, lips]))
    # single precision sums in another order over ten layers
    np.testing.assert_allclose(np.array(rows), expected, atol=2e-5)


def test_constants_of_training_and_of_work_agree() -> None:
    assert speech_model.LOOK_AHEAD == LOOK_AHEAD_FRAMES
    assert speech_model.DILATIONS == DILATIONS
    assert speech_model.READOUT_DILATIONS == READOUT_DILATIONS
    network = load_network()
    assert network.leave.weight.shape[1] == len(PHONE_CLASSES) + len(ARTICULATORS)
    assert network.enter.weight.shape[0] == FEATURES


def test_a_copied_state_goes_its_own_way(
    trained: tuple[SpeechNetwork, bytes, Float, Float],
) -> None:
    network, _, features, _ = trained
    state = initial_state(network)
    for values in features[:40]:
        advance(network, values, state)
    fork = state.copy()
    expected = [advance(network, values, state)[0] for values in features[40:80]]
    again = [advance(network, values, fork)[0] for values in features[40:80]]
    assert np.array_equal(expected, again)


def test_damaged_weights_are_refused_in_one_line(
    trained: tuple[SpeechNetwork, bytes, Float, Float],
) -> None:
    _, contents, _, _ = trained
    newer = save(load(contents), {"visavis": json.dumps({"format": 99, "mean": 0, "spread": 1})})
    lacking = {k: v for k, v in load(contents).items() if k != "speech.leave.weight"}
    short = save(lacking, {"visavis": json.dumps({"format": 2, "mean": 0, "spread": 1})})
    nothing = save(load(contents))
    for damaged in (b"", b"text", contents[: len(contents) // 2], newer, short, nothing):
        with pytest.raises(AssetError) as caught:
            parse_network(damaged)
        assert "\n" not in str(caught.value)
        assert "speech.safetensors" in str(caught.value)
