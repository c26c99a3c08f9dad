"""Trains the motion generator: `visavis train motion`. Resumes where it was interrupted."""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from avatar.errors import AssetError, OutputError
from avatar.head.template import load_template
from avatar.motion.latent import MOUTH_CODE, LatentCodec, parse_codec
from avatar.motion.lip_reading import load_lip_reading
from avatar.speech.lip_sync import LipMoods
from avatar.speech.motion_network import ASKED_CENTRE, ASKED_SCALE, parse_motion_network
from avatar.training.lip_moods import fit_lip_moods
from avatar.training.motion_codec import code_worth, codec_error, fit_codec, save_codec
from avatar.training.motion_corpus import (
    MotionCorpus,
    load_corpus,
    make_motion_corpus,
    save_corpus,
)
from avatar.training.motion_model import (
    HEARD_SIZE,
    TOKEN_FRAMES,
    TOKEN_SIZE,
    MotionModel,
    aims_of,
    flow_loss,
    inputs_of,
    pace_of,
    steps_of,
)
from avatar.training.speech_model import load_weights

log = logging.getLogger(__name__)

_TOKENS = 96
"""Of a training example: 3.84 s."""
_BATCH = 16
_RATE = 1.5e-3
_DROP_HEARD, _DROP_GAZE, _DROP_EMOTION, _DROP_BEFORE = 0.1, 0.1, 0.1, 0.1
_NOISE_BEFORE = 1.2
"""Largest spread, in units of the pace, of the noise on the tokens before: the generator must live
with its own errors."""
_DRAWS = 2
"""Flow times and noises drawn for each token and step."""
_WARM_UP = 150
_MOUTH_WORTH, _UPPER_WORTH, _HEAD_WORTH = 1.5, 2.5, 4.0
"""Of each part's error, besides how far it shows and its pace. A head's steps are small and nearly
certain: learned carelessly, they shake by chance in place of following the voice."""
_KEEP = 0.998
"""Of the running mean of the weights, which is what ships, a step."""
_SAVE_EVERY = 200


@dataclass(frozen=True, kw_only=True)
class MotionRecipe:
    """All that decides the weights, besides the installed packages."""

    hours: float
    passes: int
    steps: int
    seed: int
    grid: bool


def train_motion(
    recipe: MotionRecipe,
    speech: Path,
    grid: Path | None,
    work: Path,
    output: Path,
    device: str = "cpu",
) -> dict[str, object]:
    """Make the corpus and the codec, train; write `output`/{codec,motion}.safetensors.

    `device` is torch's name of where the network is trained; all else is done on the processor,
    chance is drawn there too. `work` keeps the corpus and a checkpoint, so that a killed run goes
    on where it was.

    Raises:
        AssetError: a synthesiser, GRID or the encoder's weights are not there, or `work` belongs
            to another recipe.
        OutputError: a folder cannot be written to.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename}: the folder cannot be made ({error})") from error
    torch.manual_seed(recipe.seed)
    _same_recipe(work / "recipe.json", recipe)
    corpus = _corpus(recipe, speech, grid, work / "corpus.safetensors")
    template = load_template()
    face = corpus.face()
    codec = fit_codec(face, template)
    errors = codec_error(codec, face)
    log.info("codec: %s", errors)
    save_codec(output / "codec.safetensors", codec, {"seed": recipe.seed, "error": errors})
    codec = parse_codec((output / "codec.safetensors").read_bytes())
    checkpoint = work / "checkpoint.safetensors"
    training = _Training(recipe, corpus, codec, checkpoint, output, torch.device(device))
    figures = training.run(torch.from_numpy(np.tile(code_worth(codec, template), TOKEN_FRAMES)))
    training.measure_moods(corpus, codec)
    return figures


def _same_recipe(path: Path, recipe: MotionRecipe) -> None:
    wanted = asdict(recipe)
    if path.exists():
        found = json.loads(path.read_text(encoding="utf8"))
        if found != wanted:
            raise AssetError(
                f"{path.parent}: holds the work of another recipe ({found}), asked for {wanted}. "
                "Name another folder with --work, or delete that one"
            )
    path.write_text(json.dumps(wanted), encoding="utf8")


def _corpus(recipe: MotionRecipe, speech: Path, grid: Path | None, path: Path) -> MotionCorpus:
    if not path.exists():
        model, readouts, metadata = load_weights(speech)
        if not readouts:
            raise AssetError(f"{speech}: has no readout. Run visavis train lips first")
        for part in (model, *readouts):
            part.eval()
        scale = float(metadata["mean"]), float(metadata["spread"])  # pyright: ignore
        made = make_motion_corpus(
            recipe.hours, grid, (model, readouts), scale, recipe.seed, recipe.passes
        )
        save_corpus(path, made, asdict(recipe))
    corpus = load_corpus(path)
    log.info("corpus: %.2f h", len(corpus.begins) / 180_000)
    return corpus


class _Training:
    """The loop, and what it keeps on disk."""

    def __init__(
        self,
        recipe: MotionRecipe,
        corpus: MotionCorpus,
        codec: LatentCodec,
        checkpoint: Path,
        output: Path,
        device: torch.device,
    ) -> None:
        self._recipe = recipe
        self._checkpoint = checkpoint
        self._output = output
        frames = len(corpus.begins) // TOKEN_FRAMES * TOKEN_FRAMES
        latent = codec.encode(corpus.face())[:frames]
        self._tokens = torch.from_numpy(latent.reshape(-1, TOKEN_SIZE))
        self._heard = torch.from_numpy(corpus.heard[:frames].reshape(-1, TOKEN_FRAMES * HEARD_SIZE))
        asked = corpus.asked[:frames:TOKEN_FRAMES].astype(np.float32) - ASKED_CENTRE
        self._asked = torch.from_numpy(asked * ASKED_SCALE)
        self._draw = torch.Generator().manual_seed(recipe.seed)
        self._device = device
        self._model = MotionModel().to(device)
        joins: NDArray[np.bool_] = np.any(corpus.begins[:frames].reshape(-1, TOKEN_FRAMES), axis=1)
        joins[0] = True
        # nothing leads from one stream to the next: the first token of each follows itself
        self._before = torch.from_numpy(np.maximum(np.arange(len(joins)) - ~joins, 0))
        starts = np.flatnonzero(joins)
        ends = np.append(starts[1:], len(joins))[np.cumsum(joins) - 1]
        self._aims = aims_of(self._tokens, torch.from_numpy(ends))
        self._pace = pace_of(self._tokens[self._before], self._tokens)
        self._model.pace.copy_(self._pace)
        self._rest = rest_of(self._tokens, self._heard, self._asked)
        self._mean = {n: p.detach().clone() for n, p in self._model.named_parameters()}
        self._optimiser = torch.optim.AdamW(
            self._model.parameters(), _RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        self._step = 0

    def run(self, worth: Tensor) -> dict[str, object]:
        """Train to the end of the recipe; returns the metadata that is written."""
        self._resume()
        # lips are what people look at, and most of what a token says
        worth = worth.clone().view(TOKEN_FRAMES, -1)
        worth[:, :MOUTH_CODE] *= _MOUTH_WORTH
        worth[:, MOUTH_CODE:-6] *= _UPPER_WORTH
        worth[:, -6:] *= _HEAD_WORTH
        worth = worth.view(-1) * self._pace.sqrt()
        worth = (worth / worth.mean()).to(self._device)
        held_back = len(self._tokens) - max(_TOKENS * 40, len(self._tokens) // 40)
        start, first, running = time.monotonic(), self._step, 0.0
        while self._step < self._recipe.steps:
            done = self._step / self._recipe.steps
            rate = _RATE * min(1.0, (self._step + 1) / _WARM_UP) * 0.5 * (1 + np.cos(np.pi * done))
            for group in self._optimiser.param_groups:
                group["lr"] = rate + 1e-6
            loss = self._loss(self._draw, held_back - _TOKENS, 0, worth)
            self._optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
            self._optimiser.step()
            self._step += 1
            keep = min(_KEEP, self._step / (self._step + 9))
            for name, value in self._model.named_parameters():
                self._mean[name].lerp_(value.detach(), 1 - keep)
            running = loss.item() if not running else 0.98 * running + 0.02 * loss.item()
            if self._step % 50 == 0:
                log.info(
                    "step %d of %d, loss %.4f, %.2f s a step",
                    self._step,
                    self._recipe.steps,
                    running,
                    (time.monotonic() - start) / (self._step - first),
                )
            if self._step % _SAVE_EVERY == 0 or self._step == self._recipe.steps:
                self._save(self._checked(held_back, worth))
        return self._metadata(self._checked(held_back, worth))

    def measure_moods(self, corpus: MotionCorpus, codec: LatentCodec) -> None:
        """See what the moods do to the lips with the weights that ship, and write it with those."""
        path = self._output / "motion.safetensors"
        network = parse_motion_network(path.read_bytes())
        moods = fit_lip_moods(network, codec, load_lip_reading(), corpus, self._recipe.seed)
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        table = np.stack([getattr(moods, name) for name in LipMoods.__slots__])
        tensors["lip_moods"] = torch.from_numpy(table)
        beside = path.with_suffix(".part")
        save_file(tensors, beside, metadata=metadata)
        beside.replace(path)

    def _loss(self, draw: torch.Generator, last: int, first: int, worth: Tensor) -> Tensor:
        starts = torch.randint(first, last, (_BATCH,), generator=draw)
        rows = starts[:, None] + torch.arange(_TOKENS)
        tokens = self._tokens[rows]
        before = self._tokens[self._before[rows]]

        def switch(odds: float) -> Tensor:
            on = torch.rand(_BATCH, 1, 1, generator=draw) >= odds
            return on.float().expand(-1, _TOKENS, 1)

        noise = _NOISE_BEFORE * torch.rand(_BATCH, 1, 1, generator=draw).expand(-1, _TOKENS, 1)
        before += noise * self._pace * torch.randn(before.shape, generator=draw)
        inputs = inputs_of(
            before,
            switch(_DROP_BEFORE),
            noise,
            self._heard[rows].float(),
            switch(_DROP_HEARD),
            self._asked[rows],
            switch(_DROP_EMOTION),
            switch(_DROP_GAZE),
        )
        before, tokens, aims, inputs = (
            part.to(self._device) for part in (before, tokens, self._aims[rows], inputs)
        )
        states = self._model.states(inputs)
        aim = self._model.aim(states)
        steps = steps_of(self._model, before, aim.detach(), tokens)
        losses = [flow_loss(self._model, states, steps, worth) for _ in range(_DRAWS)]
        return torch.stack(losses).mean() + (aim - aims).pow(2).mean()

    @torch.no_grad()
    def _checked(self, held_back: int, worth: Tensor) -> float:
        """The loss on the held-back end of the corpus, with the running mean of the weights."""
        state = torch.random.get_rng_state()
        torch.manual_seed(1)
        own = {n: p.detach().clone() for n, p in self._model.named_parameters()}
        self._model.load_state_dict(self._mean, strict=False)
        draw = torch.Generator().manual_seed(1)
        last = len(self._tokens) - _TOKENS
        losses = [self._loss(draw, last, held_back, worth).item() for _ in range(4)]
        self._model.load_state_dict(own, strict=False)
        torch.random.set_rng_state(state)
        log.info("held back: %.4f", np.mean(losses))
        return float(np.mean(losses))

    def _metadata(self, held_back: float) -> dict[str, object]:
        return {
            "format": 1,
            **asdict(self._recipe),
            "step": self._step,
            "held_back_loss": round(held_back, 5),
        }

    def _save(self, held_back: float) -> None:
        metadata = {"visavis": json.dumps(self._metadata(held_back))}
        tensors = {f"model.{n}": p.detach().clone() for n, p in self._model.named_parameters()}
        tensors |= {f"mean.{n}": p for n, p in self._mean.items()}
        for name, parameter in self._model.named_parameters():
            kept = self._optimiser.state[parameter]
            for key in ("exp_avg", "exp_avg_sq"):
                tensors[f"{key}.{name}"] = kept[key]
        tensors["draw"] = self._draw.get_state()
        tensors["chance"] = torch.random.get_rng_state()
        halves = {n: p.to(torch.float16).contiguous() for n, p in self._mean.items()}
        halves |= {"pace": self._pace, "rest": self._rest}
        path = self._checkpoint
        try:
            for path, contents in (
                (self._checkpoint, tensors),
                (self._output / "motion.safetensors", halves),
            ):
                beside = path.with_suffix(".part")
                kept_here = {name: tensor.cpu() for name, tensor in contents.items()}
                save_file(kept_here, beside, metadata=metadata)
                beside.replace(path)
        except (OSError, SafetensorError) as error:
            raise OutputError(f"{path}: cannot be written ({error})") from error

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        try:
            with safe_open(self._checkpoint, "pt") as file:
                metadata = json.loads(file.metadata()["visavis"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._step = int(metadata["step"])
            self._model.load_state_dict(_part(tensors, "model."), strict=False)
            self._mean = {n: t.to(self._device) for n, t in _part(tensors, "mean.").items()}
            for name, parameter in self._model.named_parameters():
                self._optimiser.state[parameter] = {
                    "step": torch.tensor(float(self._step), device=self._device),
                    "exp_avg": tensors[f"exp_avg.{name}"].to(self._device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(self._device),
                }
            self._draw.set_state(tensors["draw"])
            torch.random.set_rng_state(tensors["chance"])
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise AssetError(
                f"{self._checkpoint}: cannot be resumed from ({error}). Delete it to start again"
            ) from error
        log.info("resumed at step %d", self._step)


def rest_of(tokens: Tensor, heard: Tensor, asked: Tensor) -> Tensor:
    """[TOKEN_SIZE] the middle of the faces that hear nothing and are asked for nothing."""
    quiet = (heard[:, 0] > 0.95) & (asked[:, :11].abs().sum(1) < 1e-3)
    chosen = tokens[quiet] if quiet.any() else tokens
    return chosen.median(0).values


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
