"""The speech network at work: one frame of features in, one frame of articulators out.

The same arithmetic as `avatar.training.speech_model`, in NumPy, a frame at a time: every product
has the same shape whatever block the sound came in, so streaming equals offline to the bit, and
the process that speaks need not load torch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from avatar.errors import AssetError
from avatar.speech.features import FEATURES
from avatar.types import Float
from avatar.weights import parse_weights, shipped_file

WEIGHTS_FORMAT = 2
LOOK_AHEAD_FRAMES = 4
"""An output describes the frame this many frames before the newest one heard: 80 ms."""
DILATIONS = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16)
READOUT_DILATIONS = (1, 2, 4)
PHONE_CLASSES = 11
"""Outputs 0..10: logits of the viseme classes, 0 being silence."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One residual block of the stack."""

    dilation: int
    norm_gain: Float | None
    """[W], or None where the block has no norm (readout)."""
    norm_shift: Float | None
    taps: Float
    """[3W, W] rows: the activations 2 dilations ago, 1 dilation ago, now."""
    taps_shift: Float
    mix: Float | None
    """[W, W], or None where the block has none (readout)."""
    mix_shift: Float | None


@dataclass(frozen=True, slots=True)
class Dense:
    """An affine map."""

    weight: Float
    """[in, out]"""
    shift: Float

    def __call__(self, values: Float) -> Float:
        return values @ self.weight + self.shift


@dataclass(frozen=True, slots=True)
class Readout:
    """A small stack that was fitted to tracked lips of real speakers."""

    enter: Dense
    layers: tuple[Layer, ...]
    leave: Dense


@dataclass(frozen=True, slots=True, eq=False)
class SpeechNetwork:
    """The weights. They never change; what a voice leaves behind is in `NetworkState`."""

    mean: float
    spread: float
    """Standardise the features."""
    enter: Dense
    layers: tuple[Layer, ...]
    leave: Dense
    readouts: tuple[Readout, ...]
    """Their mean counts. None of them where the weights were trained on synthetic speech alone."""
    metadata: Mapping[str, object]


@dataclass(slots=True)
class NetworkState:
    """Past activations of every dilated layer, as rings."""

    rings: list[Float]
    """For each layer of the stack, then of each readout: [2 * dilation, W]."""
    frame: int = 0
    """Frames heard, modulo the least common multiple of the rings' lengths."""
    stream: Float = field(default_factory=lambda: np.zeros(0, np.float32))
    """[W] what the stack made of the newest frame."""

    def copy(self) -> "NetworkState":
        """A state that goes its own way."""
        return NetworkState([ring.copy() for ring in self.rings], self.frame, self.stream)


_RING_PERIOD = 2 * max(DILATIONS)


def initial_state(network: SpeechNetwork) -> NetworkState:
    """The state before any sound."""
    layers = (*network.layers, *(one for readout in network.readouts for one in readout.layers))
    return NetworkState(
        [np.zeros((2 * one.dilation, one.taps.shape[1]), np.float32) for one in layers]
    )


def advance(
    network: SpeechNetwork, features: Float, state: NetworkState
) -> tuple[Float, Float | None]:
    """Hear one more frame, [160]: [19] outputs and [3] lips, `LOOK_AHEAD_FRAMES` ago.

    Outputs: class logits, then aperture, jaw, width, funnel, tongue, and the logits of closure,
    lip-on-teeth contact and sibilant. Lips: aperture, width and jaw as a face tracker sees them,
    in standard deviations of a speaker; None where the weights have no readout.
    """
    stream = network.enter((features - network.mean) / network.spread)
    for layer, ring in zip(network.layers, state.rings, strict=False):
        stream = stream + _block(layer, ring, state.frame, stream)
    outputs = network.leave(stream)
    rings = iter(state.rings[len(network.layers) :])
    heard = np.concatenate([stream, outputs])
    said = [_read_lips(one, heard, rings, state.frame) for one in network.readouts]
    state.frame = (state.frame + 1) % _RING_PERIOD
    state.stream = stream
    return outputs, sum(said[1:], said[0]) / np.float32(len(said)) if said else None


def _read_lips(readout: Readout, heard: Float, rings: Iterator[Float], frame: int) -> Float:
    lips = readout.enter(heard)
    for layer in readout.layers:
        lips = lips + _block(layer, next(rings), frame, lips)
    return readout.leave(lips)


def _block(layer: Layer, ring: Float, frame: int, stream: Float) -> Float:
    now = stream
    if layer.norm_gain is not None and layer.norm_shift is not None:
        centred = stream - stream.mean()
        # 1e-5: the epsilon of torch's LayerNorm
        now = centred / np.sqrt((centred * centred).mean() + 1e-5)
        now = now * layer.norm_gain + layer.norm_shift
    oldest = frame % len(ring)
    middle = (frame + layer.dilation) % len(ring)
    past = np.concatenate([ring[oldest], ring[middle], now])
    ring[oldest] = now
    activated = gelu(past @ layer.taps + layer.taps_shift)
    if layer.mix is None or layer.mix_shift is None:
        return activated
    return activated @ layer.mix + layer.mix_shift


def gelu(values: Float) -> Float:
    """Gaussian error linear unit, tanh form (Hendrycks and Gimpel 2016)."""
    inner = np.float32(0.7978845608) * (values + np.float32(0.044715) * values**3)
    return np.float32(0.5) * values * (1 + np.tanh(inner))


@lru_cache(maxsize=1)
def load_network() -> SpeechNetwork:
    """The network that ships with the program.

    Raises:
        AssetError: its file is missing, damaged or of another version.
    """
    return parse_network(shipped_file("speech/speech.safetensors", "visavis train speech"))


def parse_network(contents: bytes) -> SpeechNetwork:
    """The network in the bytes of a weights file.

    Raises:
        AssetError: the bytes are damaged or of another version.
    """
    name = "assets/speech/speech.safetensors"
    tensors, metadata = parse_weights(contents, name, WEIGHTS_FORMAT)
    try:
        network = SpeechNetwork(
            mean=float(metadata["mean"]),
            spread=float(metadata["spread"]),
            enter=_dense(tensors, "speech.enter"),
            layers=tuple(
                _layer(tensors, "speech", index, dilation)
                for index, dilation in enumerate(DILATIONS)
            ),
            leave=_dense(tensors, "speech.leave"),
            readouts=tuple(
                _readout(tensors, f"readouts.{index}") for index in range(_count_readouts(tensors))
            ),
            metadata=metadata,
        )
    except KeyError as error:
        raise AssetError(
            f"{name}: the weights lack {error.args[0]}. Install the program again"
        ) from error
    if network.enter.weight.shape[0] != FEATURES:
        raise AssetError(
            f"{name}: takes {network.enter.weight.shape[0]} features, this build makes {FEATURES}. "
            "Install the program again"
        )
    return network


def _count_readouts(tensors: Mapping[str, Float]) -> int:
    return sum(name.startswith("readouts.") and name.endswith("enter.bias") for name in tensors)


def _readout(tensors: Mapping[str, Float], name: str) -> Readout:
    return Readout(
        _dense(tensors, f"{name}.enter"),
        tuple(
            _layer(tensors, name, index, dilation)
            for index, dilation in enumerate(READOUT_DILATIONS)
        ),
        _dense(tensors, f"{name}.leave"),
    )


def _dense(tensors: Mapping[str, Float], name: str) -> Dense:
    return Dense(np.ascontiguousarray(tensors[f"{name}.weight"].T), tensors[f"{name}.bias"])


def _layer(tensors: Mapping[str, Float], stack: str, index: int, dilation: int) -> Layer:
    taps = tensors[f"{stack}.taps.{index}.weight"]  # [out, in, 3], oldest tap first
    mix = f"{stack}.mixes.{index}.weight"
    return Layer(
        dilation=dilation,
        norm_gain=tensors.get(f"{stack}.norms.{index}.weight"),
        norm_shift=tensors.get(f"{stack}.norms.{index}.bias"),
        taps=np.ascontiguousarray(taps.transpose(2, 1, 0).reshape(-1, taps.shape[0])),
        taps_shift=tensors[f"{stack}.taps.{index}.bias"],
        mix=np.ascontiguousarray(tensors[mix].T) if mix in tensors else None,
        mix_shift=tensors.get(f"{stack}.mixes.{index}.bias"),
    )
