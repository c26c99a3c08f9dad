"""`visavis train`: the weights that ship with the program, from scratch, and how good they are."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from numpy.typing import NDArray

from app.commands.train_videos import VideoTracking, track_videos
from avatar.errors import VisavisError

_LEAST_HOURS = 0.02
"""Below, what is held back to measure with is too short."""
_LEAST_PICTURES = 100
_WEIGHTS = Path("speech.safetensors")
_Output = Annotated[Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="OUT.safetensors")]


@dataclass(frozen=True, kw_only=True)
class SpeechTraining:
    """Train the speech network on synthetic speech made here and, with --grid, on real lips.

    The corpus is spoken by Debian's free synthesisers. Install them first:
      apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts
        festvox-italp16k festvox-itapc16k espeak-ng libespeak-ng1 bible-kjv bible-kjv-text
        fortunes fortunes-de fortunes-es fortunes-it

    One core is used; without --steps the time given decides how far it gets.
    """

    output: _Output = _WEIGHTS
    """The weights to write, also every 250 steps."""
    hours: float = 3.5
    """Of speech in the corpus; each hour of it takes 2 GB of memory."""
    minutes: float = 33.0
    """Of training, after the corpus is made; ignored with --steps."""
    steps: int | None = None
    """Of training. The same steps, seed and packages give the same weights."""
    seed: int = 0
    """Of the corpus, the first weights and the order of examples."""
    grid: Path | None = None
    """A folder with the tracked GRID corpus: fit to real lips afterwards, as `train lips` does."""


@dataclass(frozen=True, kw_only=True)
class LipTraining:
    """Fit a trained speech network to the tracked lips of GRID, mixed with synthetic speech.

    Needs the packages that `visavis train speech --help` names.
    """

    weights: Path
    """What `visavis train speech` wrote, or this command."""
    grid: Path
    """A folder with clips.csv, tracks_*.npz and audio/*.flac: of the GRID corpus (CC BY 4.0), or
    what `visavis train videos` made of your own films."""
    output: _Output = _WEIGHTS
    """The weights to write."""
    hours: float = 1.0
    """Of synthetic speech to mix in."""
    readout_steps: int = 250
    """Of training the readout alone, on the frozen network; 0 keeps the readouts of the weights."""
    tuning_steps: int = 200
    """Of training both. Many more would make ordinary speech worse: GRID has a small grammar."""
    more_readouts: int = 2
    """Further readouts on the network that came of this; their mean counts."""
    more_steps: int = 160
    """Of training each of them."""
    seed: int = 0
    """The same seed and packages give the same weights."""


@dataclass(frozen=True, kw_only=True)
class MotionTraining:
    """Train the motion generator and its code of the face, on motion made here.

    Needs the packages that `visavis train speech --help` names, and the speech network's weights.
    It keeps the corpus and its progress in the work folder: start it again and it goes on.
    """

    speech: Path = Path("assets/speech/speech.safetensors")
    """The speech network that the generator will hear with."""
    grid: Path | None = None
    """A folder with the tracked GRID corpus, whose speaker's real lips are learned from too; or
    one of your own films, tracked by `visavis train videos`."""
    output: Annotated[Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="DIR")] = Path(
        "motion"
    )
    """A folder for codec.safetensors and motion.safetensors; they belong into assets/motion."""
    work: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("motion-work")
    """A folder for the corpus and the checkpoint, which a later run goes on from."""
    hours: float = 3.0
    """Of synthetic speech."""
    passes: int = 1
    """How often it is performed, each time in other rooms, with another life."""
    steps: int = 6000
    """Of training, a second each on one core."""
    seed: int = 0
    """Of speech, performances, first weights and the order of examples."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network is trained: "auto" takes an NVIDIA card where torch finds one."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Compare the lips of the shipped network with real, tracked ones on the same sound."""

    talking: Path
    """A folder of videos with offsets.json (file name to audio offset in seconds)."""
    tracks: Path
    """A folder with one NAME.npz for each video: fps, landmarks [T, 478, 3] of FaceMesh."""
    grid: Path | None = None
    """A folder with the tracked GRID corpus: its speakers that no training saw are scored too."""
    labelled: Path | None = None
    """A folder of WAV files with Praat TextGrids: do the lips close on p, b and m?"""
    synthetic_hours: float | None = None
    """The same question to so many hours of new synthetic speech (.1 takes a minute)."""
    seed: int = 3
    """Of that speech; training heard 0 and 1."""
    prompt: bool = False
    """As lips move to a microphone: sooner, by guessing part of the look-ahead."""


@dataclass(frozen=True, kw_only=True)
class LandmarkTraining:
    """Measure where FaceMesh puts its landmarks as a head turns, on renders of known pose.

    The avatars lend their skin to heads of many shapes; whoever ships the outcome may use only
    such as may ship. It takes some minutes; the same avatars, seed and packages give the same.
    """

    avatars: Annotated[tuple[str, ...], tyro.conf.Positional] = ("default",)
    """Avatar files, or names of bundled avatars."""
    output: Annotated[
        Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="OUT.safetensors")
    ] = Path("landmark_view.safetensors")
    """Belongs into assets/head."""
    pictures: int = 900
    """To draw; at least 100."""
    seed: int = 0
    """Of heads, skins, poses and lights."""


@dataclass(frozen=True, kw_only=True)
class PoseTraining:
    """Learn what the fit of a photograph misjudges a head's turn by, on renders of known pose.

    To be done after `train landmarks`, whose outcome the fit uses. The avatars lend their skin as
    there. It takes some minutes; the same avatars, seed and packages give the same.
    """

    avatars: Annotated[tuple[str, ...], tyro.conf.Positional] = ("default",)
    """Avatar files, or names of bundled avatars."""
    output: Annotated[
        Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="OUT.safetensors")
    ] = Path("pose_vote.safetensors")
    """Belongs into assets/head."""
    pictures: int = 900
    """To draw and fit; at least 100."""
    seed: int = 0
    """Of heads, skins, poses and lights."""


@dataclass(frozen=True, kw_only=True)
class LipReadingTraining:
    """Measure how wide FaceMesh reads the mouths that the code of the face makes, on renders.

    To be done after `train motion`, which makes the code, where that has changed. It takes a
    minute; the same avatars, seed and packages give the same.
    """

    avatars: Annotated[tuple[str, ...], tyro.conf.Positional] = ("default",)
    """Avatar files, or names of bundled avatars; whoever ships the outcome may use only such as
    may ship."""
    output: Annotated[
        Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="OUT.safetensors")
    ] = Path("lip_reading.safetensors")
    """Belongs into assets/motion."""
    pictures: int = 900
    """To draw; at least 100."""
    seed: int = 0
    """Of the mouths."""


@dataclass(frozen=True, kw_only=True)
class ForesightTraining:
    """Fit what lets a talk with a microphone wait less: guesses of what the speech network says.

    To be done after `train speech` and `train lips`. Needs the packages that `visavis train speech
    --help` names. It takes some minutes; the same seed and packages give the same.
    """

    speech: Path = Path("assets/speech/speech.safetensors")
    """The speech network."""
    grid: Path | None = None
    """A folder with the tracked GRID corpus, whose sentences are heard too."""
    output: Annotated[
        Path, tyro.conf.arg(name="output", aliases=["-o"], metavar="OUT.safetensors")
    ] = Path("foresight.safetensors")
    """Belongs into assets/speech."""
    frames: int = 3
    """How far to guess ahead, of 20 ms each, 1 to 4."""
    hours: float = 1.0
    """Of synthetic speech."""
    seed: int = 0
    """Of speech and rooms."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Make the weights that ship with the program, or score them."""

    task: tyro.conf.OmitSubcommandPrefixes[
        Annotated[SpeechTraining, tyro.conf.subcommand("speech")]
        | Annotated[LipTraining, tyro.conf.subcommand("lips")]
        | Annotated[ForesightTraining, tyro.conf.subcommand("foresight")]
        | Annotated[VideoTracking, tyro.conf.subcommand("videos")]
        | Annotated[MotionTraining, tyro.conf.subcommand("motion")]
        | Annotated[LandmarkTraining, tyro.conf.subcommand("landmarks")]
        | Annotated[PoseTraining, tyro.conf.subcommand("pose")]
        | Annotated[LipReadingTraining, tyro.conf.subcommand("lip-reading")]
        | Annotated[Scoring, tyro.conf.subcommand("score")]
    ]
    """What to do."""


def train(settings: TrainSettings) -> None:
    """Do one training task and print its figures as JSON.

    Raises:
        VisavisError: an amount that nothing can be trained with.
        AssetError: a synthesiser, weights or a data set are not there.
        SoundError: a recording cannot be read.
    """
    logging.getLogger("avatar.training").setLevel(logging.INFO)
    match settings.task:
        case SpeechTraining() as task:
            _show(_train_speech(task))
        case LipTraining() as task:
            _show(_fit_lips(task))
        case ForesightTraining() as task:
            _show(_foresee(task))
        case VideoTracking() as task:
            _show(track_videos(task))
        case MotionTraining() as task:
            _show(_train_motion(task))
        case LandmarkTraining() | PoseTraining() as task:
            _show(_learn_from_renders(task))
        case LipReadingTraining() as task:
            _show(_read_lips(task))
        case Scoring() as task:
            _show(_score(task))


def _check_amounts(hours: float, *steps: float | None) -> None:
    """Refuse what would fail after minutes of making speech."""
    if not _LEAST_HOURS <= hours < 1000:
        raise VisavisError(f"--hours {hours:g}: expected {_LEAST_HOURS:g} or more hours of speech")
    for amount in steps:
        if amount is not None and not amount > 0:
            raise VisavisError(f"{amount:g} steps or minutes of training: expected more than 0")


def _train_speech(task: SpeechTraining) -> Mapping[str, object]:
    import torch

    from avatar.training.train_speech import train_speech

    _check_amounts(task.hours, task.minutes, task.steps)
    torch.set_num_threads(1)
    figures = train_speech(task.hours, task.minutes, task.steps, task.seed, task.output)
    if task.grid is None:
        return figures
    return _fit_lips(
        LipTraining(weights=task.output, grid=task.grid, output=task.output, seed=task.seed)
    )


def _fit_lips(task: LipTraining) -> Mapping[str, object]:
    import torch

    from avatar.training.grid import LipTasks, fit_lips

    tasks = LipTasks(task.readout_steps, task.tuning_steps, task.more_readouts, task.more_steps)
    _check_amounts(task.hours, task.more_steps)
    if min(task.readout_steps, task.tuning_steps, task.more_readouts) < 0:
        raise VisavisError("--readout-steps, --tuning-steps, --more-readouts: expected 0 or more")
    torch.set_num_threads(1)
    return fit_lips(task.weights, task.grid, task.hours, tasks, task.seed, task.output)


def _foresee(task: ForesightTraining) -> Mapping[str, object]:
    import torch

    from app.output_file import check_output, written_beside
    from avatar.speech.network import LOOK_AHEAD_FRAMES
    from avatar.training.foresight import train_foresight

    _check_amounts(task.hours)
    if not 1 <= task.frames <= LOOK_AHEAD_FRAMES:
        raise VisavisError(f"--frames {task.frames}: expected 1 to {LOOK_AHEAD_FRAMES}")
    check_output(task.output, (".safetensors",))
    torch.set_num_threads(1)
    with written_beside(task.output) as beside:
        return train_foresight(
            task.speech,
            task.grid,
            frames=task.frames,
            hours=task.hours,
            seed=task.seed,
            output=beside,
        )


def _train_motion(task: MotionTraining) -> Mapping[str, object]:
    import torch

    from avatar.training.train_motion import MotionRecipe, train_motion

    _check_amounts(task.hours, task.passes, task.steps)
    found = torch.cuda.is_available()
    if task.device == "cuda" and not found:
        raise VisavisError(
            f"--device cuda: torch {torch.__version__} finds no NVIDIA card. Use --device cpu, or "
            "install a torch with CUDA."
        )
    device = "cuda" if found and task.device != "cpu" else "cpu"
    torch.set_num_threads(1)
    recipe = MotionRecipe(
        hours=task.hours,
        passes=task.passes,
        steps=task.steps,
        seed=task.seed,
        grid=task.grid is not None,
    )
    return train_motion(recipe, task.speech, task.grid, task.work, task.output, device)


def _learn_from_renders(task: LandmarkTraining | PoseTraining) -> Mapping[str, object]:
    from app.bundled import avatar_path
    from app.output_file import check_output, written_beside
    from app.photo_view import drawer
    from avatar.avatar_file import load_avatar
    from avatar.portrait.landmarks import MediapipeFaceFinder
    from avatar.training.landmark_view import train_landmark_view
    from avatar.training.pose_vote import train_pose_vote

    _check_pictures(task.pictures)
    check_output(task.output, (".safetensors",))
    avatars = [load_avatar(avatar_path(name)) for name in task.avatars]
    learn = train_landmark_view if isinstance(task, LandmarkTraining) else train_pose_vote
    with MediapipeFaceFinder() as finder, written_beside(task.output) as beside:
        return learn(
            avatars,
            drawer(),
            finder,
            pictures=task.pictures,
            seed=task.seed,
            output=beside,
        )


def _check_pictures(pictures: int) -> None:
    if pictures < _LEAST_PICTURES:
        raise VisavisError(f"--pictures {pictures}: expected {_LEAST_PICTURES} or more")


def _read_lips(task: LipReadingTraining) -> Mapping[str, object]:
    from app.bundled import avatar_path
    from app.output_file import check_output, written_beside
    from app.seen_face import front_view
    from app.settings import BACKDROP
    from avatar.avatar_file import load_avatar
    from avatar.deform import Deformer
    from avatar.motion.latent import load_codec
    from avatar.portrait.landmarks import MediapipeFaceFollower
    from avatar.training.lip_reading import train_lip_reading
    from avatar.types import Float
    from render.choose import open_renderer

    _check_pictures(task.pictures)
    check_output(task.output, (".safetensors",))
    avatars = [load_avatar(avatar_path(name)) for name in task.avatars]
    renderer, view = open_renderer("cpu"), front_view()

    def look(deformer: Deformer, expression: Float) -> NDArray[np.uint8]:
        gaussians = deformer.gaussians(expression=expression, seen_from=view.position)
        return renderer.render(gaussians, [view], BACKDROP.rgb)[0]

    with MediapipeFaceFollower() as follower, written_beside(task.output) as beside:
        return train_lip_reading(
            avatars,
            load_codec(),
            look,
            follower,
            pictures=task.pictures,
            seed=task.seed,
            output=beside,
        )


def _score(task: Scoring) -> Mapping[str, object]:
    from avatar.training import score

    figures: dict[str, object] = {
        "clips": score.score_lips(
            score.talking_clips(task.talking, task.tracks), prompt=task.prompt
        )
    }
    if task.grid is not None:
        figures["unseen_grid"] = score.score_lips(
            score.unseen_grid_clips(task.grid), prompt=task.prompt
        )
    if task.labelled is not None:
        figures["closures"] = score.score_labelled(task.labelled, prompt=task.prompt)
    if task.synthetic_hours is not None:
        from avatar.training.corpus import make_corpus

        _check_amounts(task.synthetic_hours)
        speech = make_corpus(task.synthetic_hours, task.seed)
        figures["synthetic_closures"] = score.score_synthetic(speech, prompt=task.prompt)
    return figures


def _show(figures: Mapping[str, object]) -> None:
    print(json.dumps(figures, indent=1))
