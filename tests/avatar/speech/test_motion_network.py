"""The motion network in NumPy against the one that is trained, and its memory."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from avatar.errors import AssetError
from avatar.speech import motion_network
from avatar.speech.motion_network import (
    ASKED_SIZE,
    CONTEXT,
    HEARD_SIZE,
    TOKEN_FRAMES,
    TOKEN_SIZE,
    MotionNetwork,
    advance,
    first_state,
    noise_of,
    parse_motion_network,
)
from avatar.training import motion_model
from avatar.training.motion_model import MotionModel, inputs_of, steps_of


@pytest.fixture(scope="module")
def model() -> MotionModel:
    torch.manual_seed(0)
    model = MotionModel().eval()
    for parameter in model.flow.leave.parameters():  # it begins as zero, which would prove nothing
        torch.nn.init.normal_(parameter, 0, 0.05)
    model.pace.copy_(torch.rand(TOKEN_SIZE) * 0.5 + 0.05)
    return model


@pytest.fixture(scope="module")
def network(model: MotionModel) -> MotionNetwork:
    return parse_motion_network(weights_file(model))


def weights_file(model: MotionModel, **metadata: object) -> bytes:
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    tensors["rest"] = np.linspace(-0.5, 0.5, TOKEN_SIZE, dtype=np.float32)
    return save(tensors, {"visavis": json.dumps({"format": 1, **metadata})})


def test_both_files_agree_on_the_sizes() -> None:
    for name in ("TOKEN_FRAMES", "TOKEN_SIZE", "HEARD_SIZE", "ASKED_SIZE", "CONTEXT"):
        assert getattr(motion_network, name) == getattr(motion_model, name), name


@torch.no_grad()
def test_it_says_what_the_trained_model_says(model: MotionModel, network: MotionNetwork) -> None:
    tokens = CONTEXT + 9  # the rings go round
    chance = np.random.default_rng(0)
    heard = chance.standard_normal((tokens, TOKEN_FRAMES, HEARD_SIZE)).astype(np.float32)
    asked = chance.standard_normal((tokens, ASKED_SIZE)).astype(np.float32)
    noises = np.stack([noise_of(chance) for _ in range(tokens)])
    state = first_state(network)
    said = np.stack(
        [advance(network, h, a, n, state) for h, a, n in zip(heard, asked, noises, strict=True)]
    ).reshape(tokens, -1)

    before = np.concatenate([network.rest[None], said[:-1]])
    ones = torch.ones(1, tokens, 1)
    switches = {"full": (1, 1), "deaf": (0, 1), "aimless": (1, 0)}
    states = {}
    for name, (hears, looks) in switches.items():
        inputs = inputs_of(
            torch.from_numpy(before)[None],
            ones,
            motion_network.DOUBT * ones,
            torch.from_numpy(heard.reshape(1, tokens, -1)),
            hears * ones,
            torch.from_numpy(asked)[None],
            ones,
            looks * ones,
        )
        states[name] = model.states(inputs)[0]
    token = torch.from_numpy(noises)
    steps = motion_network.FLOW_STEPS
    for step in range(steps):
        time = torch.full((tokens, 1), step / steps)
        flows = {name: model.flow(token, time, one) for name, one in states.items()}
        guided = flows["full"]
        guided = guided + motion_network.HEARING_GUIDANCE * (flows["full"] - flows["deaf"])
        guided = guided + motion_network.GAZE_GUIDANCE * (flows["full"] - flows["aimless"])
        token = token + guided / steps
    weights = torch.tensor([1.0, 0, 0])
    for index, weight in ((1, motion_network.HEARING_GUIDANCE), (2, motion_network.GAZE_GUIDANCE)):
        weights[0] += weight
        weights[index] = -weight
    aims = torch.stack([model.aim(one) for one in states.values()])
    aim = torch.einsum("c,ctl->tl", weights, aims)
    truth = steps_of(model, torch.from_numpy(before), aim, torch.from_numpy(said))
    assert np.abs(token.numpy() - truth.numpy()).max() < 1e-3


def test_nothing_grows_and_the_same_noise_gives_the_same_face(network: MotionNetwork) -> None:
    chance = np.random.default_rng(1)
    heard, asked = np.zeros((TOKEN_FRAMES, HEARD_SIZE), np.float32), np.zeros(ASKED_SIZE, "f4")
    one, other = first_state(network), first_state(network)
    sizes = one.keys.nbytes
    for _ in range(3 * CONTEXT):
        noise = noise_of(chance)
        face, same = (advance(network, heard, asked, noise, state) for state in (one, other))
        assert np.array_equal(face, same)
    assert one.keys.nbytes == sizes
    assert one.filled == CONTEXT
    copy = one.copy()
    advance(network, heard, asked, noise_of(chance), one)
    assert not np.array_equal(copy.keys, one.keys)  # a copy goes its own way


@pytest.mark.parametrize("harm", ["format", "short", "layer", "inputs"])
def test_damaged_weights_are_refused_in_one_line(model: MotionModel, harm: str) -> None:
    contents = weights_file(model, **({"format": 7} if harm == "format" else {}))
    if harm == "short":
        contents = contents[:1000]
    if harm in ("layer", "inputs"):
        tensors = {name: value.numpy() for name, value in model.state_dict().items()}
        if harm == "layer":
            del tensors["blocks.2.widen.bias"]
            tensors["rest"] = tensors["pace"]
        else:
            tensors["enter.weight"] = tensors["enter.weight"][:, :-3].copy()
        contents = save(tensors, {"visavis": json.dumps({"format": 1})})
    with pytest.raises(AssetError) as error:
        parse_motion_network(contents)
    assert "motion.safetensors" in str(error.value)
    assert "\n" not in str(error.value)
