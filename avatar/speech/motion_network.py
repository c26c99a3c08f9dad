"""The motion generator at work: what was heard and asked in, the next 40 ms of the face out.

The same arithmetic as `avatar.training.motion_model`, in NumPy, a token at a time, with the keys
and values of the last `CONTEXT` tokens kept in rings: every product has the same shape whatever
block the sound came in, so streaming equals offline to the bit, nothing grows with time, and the
process that speaks need not load torch.

Guidance: three copies run side by side, one with all conditions, one that does not hear, one that
is not told where to look; what sets the first apart from the others is amplified (Ho and Salimans
2022; VASA-1, eq. 5, with a weight of its own for each condition).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatar.errors import AssetError
from avatar.motion.direction import EMOTION_NAMES
from avatar.motion.latent import LATENT_SIZE, LID_CODE, MOUTH_CODE, UPPER_CODE
from avatar.speech.lip_sync import LipMoods
from avatar.speech.network import Dense, gelu
from avatar.types import Float
from avatar.weights import damaged, parse_weights, shipped_file

TOKEN_FRAMES = 2
"""Motion frames of 20 ms that are made at once."""
TOKEN_SIZE = TOKEN_FRAMES * LATENT_SIZE
HEARD_SIZE = 23
"""Of a frame: 11 odds of viseme classes, 8 articulators, 3 lips, loudness."""
ASKED_SIZE = 12
"""Emotion [8], main gaze [2], distance, articulation."""
ASKED_CENTRE = np.array([0] * 11 + [1], np.float32)
ASKED_SCALE = np.array([1] * 8 + [4, 4, 25, 4], np.float32)
"""What brings intensities, radians, metres and articulation to about 1."""
CONTEXT = 64
"""Tokens that a token attends to, itself among them: 2.56 s."""

FLOW_STEPS = 8
"""Euler steps from noise to motion."""
HEARING_GUIDANCE, GAZE_GUIDANCE = 0.4, 0.4
_GUIDANCE = np.array(
    [1 + HEARING_GUIDANCE + GAZE_GUIDANCE, -HEARING_GUIDANCE, -GAZE_GUIDANCE], np.float32
)
"""Weights of the three copies: the full one carries what guidance takes from the others."""
MOUTH_CHANCE, LID_CHANCE, BROW_CHANCE, GAZE_CHANCE, HEAD_CHANCE = 0.35, 0.65, 1.2, 1.0, 1.1
"""Spread of the noise that a token begins as: less of it for the lips, which should follow the
voice and not chance; more for the brows, which few Euler steps leave too still (VASA-1 found
the same of fewer steps), which also brings more blinks: lids with 1 gave 41 a minute in speech."""
WIDE_EYED = 0.3
"""By so much less of it for brows whose eyes are wide (fear, surprise): eyes that narrow by chance
are taken for a blink that has begun, which made 50 to 60 a minute."""
DOUBT = 0.3
"""How much of the token before may be the generator's own error, in units of the pace."""
_PULL = np.array([[0.05], [0.1]], np.float32)
"""Share of the way to its aim that the face goes in each frame of a token."""
_GAZE_AT, _HEAD_AT = MOUTH_CODE + UPPER_CODE, LATENT_SIZE - 6
_COPIES = 3
_FORMAT = 1
_TIME_SIZE = 32


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer norm with gain and shift."""

    gain: Float
    shift: Float

    def __call__(self, values: Float) -> Float:
        return _normal(values) * self.gain + self.shift


@dataclass(frozen=True, slots=True)
class Block:
    """Pre-normalised attention and an MLP."""

    attention_norm: Norm
    query_key_value: Dense
    leave: Dense
    reach_bias: Float
    """[heads, CONTEXT] added to the attention for each distance in time."""
    mlp_norm: Norm
    widen: Dense
    narrow: Dense


@dataclass(frozen=True, slots=True)
class FlowLayer:
    """A residual block of the flow, gated by the state."""

    modulation: Dense
    widen: Dense
    narrow: Dense


@dataclass(frozen=True, slots=True, eq=False)
class MotionNetwork:
    """The weights, which never change."""

    enter: Dense
    blocks: tuple[Block, ...]
    norm: Norm
    aim: Dense
    """Where the face is going: its mean over the next second."""
    flow_enter: Dense
    flow_condition: Dense
    flow_layers: tuple[FlowLayer, ...]
    flow_leave: Dense
    pace: Float
    """[TOKEN_SIZE] the unit in which the flow works, from the last frame before the token on."""
    rest: Float
    """[TOKEN_SIZE] a quiet face: what lies before the first token."""
    lip_moods: LipMoods | None
    """None before the training has come to an end: then lips stay as drawn."""


@dataclass(slots=True)
class MotionState:
    """All that the generator remembers: its last token, and keys and values of the last 2.6 s."""

    before: Float
    """[TOKEN_SIZE] the token before."""
    keys: Float
    """[layers, 3, heads, CONTEXT, head width]"""
    values: Float
    slot: int = 0
    """Where the next token's key goes."""
    filled: int = 0
    """Tokens in the rings."""

    def copy(self) -> "MotionState":
        """A state that goes its own way."""
        return MotionState(
            self.before.copy(), self.keys.copy(), self.values.copy(), self.slot, self.filled
        )


def first_state(network: MotionNetwork) -> MotionState:
    """Before any sound."""
    heads = network.blocks[0].reach_bias.shape[0]
    width = network.norm.gain.shape[0]
    shape = (len(network.blocks), _COPIES, heads, CONTEXT, width // heads)
    return MotionState(
        network.rest.copy(), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    )


def noise_of(chance: np.random.Generator, wide_eyed: float = 0.0) -> Float:
    """[TOKEN_SIZE] what a token begins as; `wide_eyed` 0..1 is how far the mood opens the eyes."""
    noise = chance.standard_normal((TOKEN_FRAMES, LATENT_SIZE), np.float32)
    begin = 0
    for end, spread in (
        (MOUTH_CODE, MOUTH_CHANCE), (MOUTH_CODE + LID_CODE, LID_CHANCE),
        (_GAZE_AT, BROW_CHANCE - WIDE_EYED * wide_eyed), (_HEAD_AT, GAZE_CHANCE),
        (LATENT_SIZE, HEAD_CHANCE),
    ):  # fmt: skip
        noise[:, begin:end] *= np.float32(spread)
        begin = end
    return noise.reshape(-1)


def advance(
    network: MotionNetwork, heard: Float, asked: Float, noise: Float, state: MotionState
) -> Float:
    """[2, 40] the latents of the next two frames; `state` moves on.

    `heard` [2, 23], `asked` [12], `noise` [TOKEN_SIZE] from `noise_of`.
    """
    inputs = np.zeros((_COPIES, network.enter.weight.shape[0]), np.float32)
    hears = np.array([1, 0, 1], np.float32)[:, None]
    looks = np.array([1, 1, 0], np.float32)[:, None]
    at = TOKEN_SIZE
    inputs[:, :at] = state.before
    inputs[:, at] = 1
    inputs[:, at + 1] = DOUBT
    sound = slice(at + 2, at + 2 + heard.size)
    inputs[:, sound] = heard.reshape(-1) * hears
    inputs[:, sound.stop] = hears[:, 0]
    mood = sound.stop + 1
    inputs[:, mood : mood + 8] = asked[:8]
    inputs[:, mood + 8 : mood + 10] = asked[10:]
    inputs[:, mood + 10 : mood + 12] = asked[8:10] * looks
    inputs[:, mood + 12] = 1.0
    inputs[:, mood + 13] = looks[:, 0]
    states = _state_of(network, inputs, state)
    step = _flow(network, states, noise)
    last = state.before[-LATENT_SIZE:]
    towards = _PULL * (_GUIDANCE @ network.aim(states) - last)
    token = np.tile(last, TOKEN_FRAMES) + towards.reshape(-1) + network.pace * step
    token = token.astype(np.float32)
    state.before = token
    state.slot = (state.slot + 1) % CONTEXT
    state.filled = min(state.filled + 1, CONTEXT)
    return token.reshape(TOKEN_FRAMES, LATENT_SIZE)


def _state_of(network: MotionNetwork, inputs: Float, state: MotionState) -> Float:
    """[3, width] what the transformer makes of the newest token."""
    slots = np.arange(CONTEXT)
    ago = (state.slot - slots) % CONTEXT
    unseen = ago > state.filled  # a ring that is not full yet
    stream = network.enter(inputs)
    for index, block in enumerate(network.blocks):
        heads = block.reach_bias.shape[0]
        mixed = block.query_key_value(block.attention_norm(stream)).reshape(_COPIES, 3, heads, -1)
        query, key, value = mixed[:, 0], mixed[:, 1], mixed[:, 2]
        keys, values = state.keys[index], state.values[index]
        keys[:, :, state.slot] = key
        values[:, :, state.slot] = value
        scores = (keys @ query[..., None])[..., 0] / np.float32(np.sqrt(query.shape[-1]))
        scores += block.reach_bias[:, ago]
        scores[..., unseen] = -np.inf
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = (weights[..., None, :] @ values)[..., 0, :]
        stream = stream + block.leave(seen.reshape(_COPIES, -1))
        stream = stream + block.narrow(gelu(block.widen(block.mlp_norm(stream))))
    return network.norm(stream)


def _flow(network: MotionNetwork, states: Float, noise: Float) -> Float:
    """[TOKEN_SIZE] from noise to a step of the face in `FLOW_STEPS` guided Euler steps."""
    # what the state and the time say to each layer does not wait for the token: all steps at once
    known = _silu(
        network.flow_condition(
            np.concatenate(
                [
                    np.broadcast_to(states, (FLOW_STEPS, *states.shape)),
                    np.broadcast_to(_TIME_WAVES, (FLOW_STEPS, _COPIES, _TIME_SIZE)),
                ],
                2,
            ).reshape(FLOW_STEPS * _COPIES, -1)
        )
    )
    told = [
        np.split(layer.modulation(known).reshape(FLOW_STEPS, _COPIES, -1), 3, 2)
        for layer in network.flow_layers
    ]
    token: Float = noise
    for step in range(FLOW_STEPS):
        stream = np.broadcast_to(network.flow_enter(token), (_COPIES, known.shape[1]))
        for layer, (gain, shift, gate) in zip(network.flow_layers, told, strict=True):
            hidden = _silu(layer.widen(_normal(stream) * (1 + gain[step]) + shift[step]))
            stream = stream + gate[step] * layer.narrow(hidden)
        velocity = _GUIDANCE @ network.flow_leave(_normal(stream))
        token = (token + velocity / np.float32(FLOW_STEPS)).astype(np.float32)
    return token


def _waves(time: float) -> Float:
    rates = np.exp(np.linspace(0, 5, _TIME_SIZE // 2)).astype(np.float32)
    return np.concatenate([np.sin(time * rates), np.cos(time * rates)]).astype(np.float32)


_TIME_WAVES = np.stack([_waves(step / FLOW_STEPS) for step in range(FLOW_STEPS)])[:, None]


def _normal(values: Float) -> Float:
    centred = values - values.mean(-1, keepdims=True)
    # 1e-5: the epsilon of torch's LayerNorm
    spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
    return (centred / spread).astype(np.float32)


def _silu(values: Float) -> Float:
    return (values / (1 + np.exp(-values))).astype(np.float32)


@lru_cache(maxsize=1)
def load_motion_network() -> MotionNetwork:
    """The network that ships with the program.

    Raises:
        AssetError: its file is missing, damaged or of another version.
    """
    contents = shipped_file("motion/motion.safetensors", "visavis train motion")
    return parse_motion_network(contents)


def parse_motion_network(contents: bytes) -> MotionNetwork:
    """The network in the bytes of a weights file.

    Raises:
        AssetError: the bytes are damaged or of another version.
    """
    name = "assets/motion/motion.safetensors"
    tensors, _ = parse_weights(contents, name, _FORMAT)
    try:
        network = _network(tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(name, error) from error
    inputs = TOKEN_SIZE + 2 + TOKEN_FRAMES * HEARD_SIZE + 1 + ASKED_SIZE + 2
    sizes = {one.shape for one in (network.flow_leave.shift, network.pace, network.rest)}
    if network.enter.weight.shape[0] != inputs or sizes != {(TOKEN_SIZE,)}:
        raise AssetError(
            f"{name}: made for {network.enter.weight.shape[0]} inputs and tokens of "
            f"{network.flow_leave.shift.size}, this build has {inputs} and {TOKEN_SIZE}. "
            "Install the program again"
        )
    return network


def _lip_moods(table: Float) -> LipMoods:
    """Of the [4, 8] numbers in a file."""
    if table.shape != (4, len(EMOTION_NAMES)) or not np.isfinite(table).all():
        raise ValueError(f"lip_moods of {table.shape}, expected 4 x {len(EMOTION_NAMES)} finite")
    return LipMoods(*table)


def _network(tensors: dict[str, Float]) -> MotionNetwork:
    def dense(name: str) -> Dense:
        weight = np.ascontiguousarray(tensors[f"{name}.weight"].T)
        return Dense(weight, tensors[f"{name}.bias"])

    def norm(name: str) -> Norm:
        return Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def count(start: str, end: str) -> int:
        return sum(name.startswith(start) and name.endswith(end) for name in tensors)

    blocks = tuple(
        Block(
            attention_norm=norm(f"blocks.{i}.attention_norm"),
            query_key_value=dense(f"blocks.{i}.query_key_value"),
            leave=dense(f"blocks.{i}.leave"),
            reach_bias=tensors[f"blocks.{i}.reach_bias"],
            mlp_norm=norm(f"blocks.{i}.mlp_norm"),
            widen=dense(f"blocks.{i}.widen"),
            narrow=dense(f"blocks.{i}.narrow"),
        )
        for i in range(count("blocks.", "reach_bias"))
    )
    layers = tuple(
        FlowLayer(
            modulation=dense(f"flow.modulations.{i}"),
            widen=dense(f"flow.widens.{i}"),
            narrow=dense(f"flow.narrows.{i}"),
        )
        for i in range(count("flow.widens.", "weight"))
    )
    if not blocks or not layers:
        raise ValueError("it has no layers")
    return MotionNetwork(
        enter=dense("enter"),
        blocks=blocks,
        norm=norm("norm"),
        aim=dense("aim"),
        flow_enter=dense("flow.enter"),
        flow_condition=dense("flow.condition"),
        flow_layers=layers,
        flow_leave=dense("flow.leave"),
        pace=tensors["pace"],
        rest=tensors["rest"],
        lip_moods=_lip_moods(tensors["lip_moods"]) if "lip_moods" in tensors else None,
    )
