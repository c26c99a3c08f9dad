"""Every option of the command line with its default, unit and meaning. `--help` is this file.

One frozen dataclass for each command; the docstring under a field is its help text. Angles are
degrees here, because people type them, and radians from `View.yaw_rad` on.
"""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from app.streams.targets import Target
from app.turntable import ALL_AROUND
from app.turntable import LEAST_S as LEAST_TURN_S
from app.turntable import MOST_S as MOST_TURN_S
from avatar.fit.device import Device
from avatar.motion.direction import (
    DISTANCE_LIMIT_M,
    EMOTION_NAMES,
    GAZE_LIMIT_RAD,
    HEAD_LIMIT_RAD,
    LEAST_ARTICULATION,
    MOST_ARTICULATION,
    STILLNESS_MOST,
    Direction,
    emotion_of,
    no_emotion,
)
from avatar.rig.timecode import Timecode
from avatar.types import ARKIT_NAMES, TONGUE_NAMES

Backend = Literal["auto", "cpu", "cuda", "gl", "reference"]

DEFAULT_AVATAR = "default"
"""The bundled avatar that is used where none is named."""
DEFAULT_FPS = 25.0
RECORD_FPS = 30.0
SMALLEST_SIDE_PX, LARGEST_SIDE_PX = 16, 4096
"""Below, H.264 has no block to code; above, x264 wants gigabytes."""
HIGHEST_FPS = 240.0
DEFAULT_STREAM_FPS = 60.0
LEAST_STREAM_FPS, MOST_STREAM_FPS = 10.0, 120.0


@dataclass(frozen=True)
class ViewPoint:
    """A camera on a sphere around the head, looking at it."""

    yaw_degrees: float = 0.0
    """Towards the avatar's left."""
    pitch_degrees: float = 0.0
    """Upwards."""
    distance_m: float = 1.0

    @property
    def yaw_rad(self) -> float:
        return math.radians(self.yaw_degrees)

    @property
    def pitch_rad(self) -> float:
        return math.radians(self.pitch_degrees)

    @classmethod
    def parse(cls, words: list[str]) -> "ViewPoint":
        """From "YAW,PITCH,DISTANCE"; raises ValueError that says what is wrong."""
        numbers = _numbers(words[0], "YAW,PITCH,DISTANCE (degrees, degrees, metres)", 3)
        view = cls(*numbers)
        if not 0.15 <= view.distance_m <= 20:
            raise ValueError(f"distance {view.distance_m:g} m: expected 0.15 to 20 metres")
        return view

    def words(self) -> list[str]:
        return [f"{self.yaw_degrees:g},{self.pitch_degrees:g},{self.distance_m:g}"]


@dataclass(frozen=True)
class PictureSize:
    """Pixels."""

    width: int = 512
    height: int = 512

    @classmethod
    def parse(cls, words: list[str]) -> "PictureSize":
        """From "512" or "640x480"; raises ValueError that says what is wrong."""
        sides = [int(side) for side in re.findall(r"\d+", words[0])]
        if not re.fullmatch(r"\d{1,6}(x\d{1,6})?", words[0]):
            raise ValueError(f"{words[0]!r}: expected SIDE or WIDTHxHEIGHT in pixels")
        for side in sides:
            if not SMALLEST_SIDE_PX <= side <= LARGEST_SIDE_PX:
                raise ValueError(f"{side} pixels: expected {SMALLEST_SIDE_PX} to {LARGEST_SIDE_PX}")
        return cls(sides[0], sides[-1])

    def words(self) -> list[str]:
        return [f"{self.width}x{self.height}" if self.width != self.height else f"{self.width}"]

    def even(self) -> "PictureSize":
        """Each odd side one larger: H.264 with 4:2:0 colour has even sides only."""
        return PictureSize(self.width + self.width % 2, self.height + self.height % 2)


@dataclass(frozen=True)
class Colour:
    """sRGB, 0..1."""

    red: float = 0.0
    green: float = 0.0
    blue: float = 0.0

    @classmethod
    def parse(cls, words: list[str]) -> "Colour":
        """From "#rrggbb" or one of three names; raises ValueError that says what is wrong."""
        named = {"black": "#000000", "grey": "#808080", "white": "#ffffff"}
        text = named.get(words[0], words[0])
        if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
            raise ValueError(f"{words[0]!r}: expected RRGGBB, black, grey or white")
        return cls(*(byte / 255 for byte in bytes.fromhex(text.lstrip("#"))))

    def words(self) -> list[str]:
        return ["".join(f"{round(255 * part):02x}" for part in self.rgb)]

    @property
    def rgb(self) -> tuple[float, float, float]:
        return (self.red, self.green, self.blue)


BACKDROP = Colour(0x73 / 255, 0x78 / 255, 0x7F / 255)
"""A calm grey like the window's: dark hair and collars stand out from it as well as light ones."""
CONTROL_PORT = 8470
"""Of `live --control` where none is named."""


def parse_fps(words: list[str]) -> float:
    """Frames a second; raises ValueError outside what players take."""
    (fps,) = _numbers(words[0], "frames a second", 1)
    if not 1 <= fps <= HIGHEST_FPS:
        raise ValueError(f"{fps:g} frames a second: expected 1 to {HIGHEST_FPS:g}")
    return fps


def parse_expression(words: list[str]) -> dict[str, float]:
    """From "jawOpen:0.6,eyeBlinkLeft:1"; raises ValueError that says what is wrong."""
    known = {name.lower(): name for name in (*ARKIT_NAMES, *TONGUE_NAMES)}
    weights = {}
    for part in filter(None, words[0].split(",")):
        name, colon, weight = part.strip().partition(":")
        if not colon:
            raise ValueError(f"{part!r}: expected NAME:WEIGHT, such as jawOpen:0.6")
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.4)
            meant = ", ".join(known[other] for other in near) or "jawOpen or browInnerUp"
            raise ValueError(f"{name!r} is not one of the 52 ARKit names; is it {meant}?")
        (value,) = _numbers(weight, f"a weight from 0 to 1 for {name}", 1)
        if not 0 <= value <= 1:
            raise ValueError(f"{name}:{weight}: expected a weight from 0 to 1")
        weights[known[name.lower()]] = value
    return weights


def parse_emotion(words: list[str]) -> dict[str, float]:
    """From "happiness:0.7" or "sadness:0.5,fear:0.3"; raises ValueError that says what is wrong."""
    known = {name: name for name in EMOTION_NAMES}
    emotions = {}
    for part in filter(None, words[0].split(",")):
        name, colon, text = part.strip().partition(":")
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
            meant = f"; is it {near[0]}?" if near else ""
            raise ValueError(f"{name!r}: expected one of {', '.join(EMOTION_NAMES)}{meant}")
        (value,) = _numbers(text, f"an intensity from 0 to 1 for {name}", 1) if colon else (0.7,)
        if not 0 <= value <= 1:
            raise ValueError(f"{part}: expected an intensity from 0 to 1")
        emotions[name.lower()] = value
    return emotions


@dataclass(frozen=True)
class GazeDirection:
    """Where the face looks most of the time; a viewer straight ahead is 0,0."""

    yaw_degrees: float = 0.0
    """Towards the avatar's left."""
    pitch_degrees: float = 0.0
    """Upwards."""

    @classmethod
    def parse(cls, words: list[str]) -> "GazeDirection":
        """From "YAW,PITCH"; raises ValueError that says what is wrong."""
        gaze = cls(*_numbers(words[0], "YAW,PITCH (degrees)", 2))
        most = math.degrees(GAZE_LIMIT_RAD)
        if max(abs(gaze.yaw_degrees), abs(gaze.pitch_degrees)) > most:
            raise ValueError(f"{words[0]}: expected at most {most:.0f} degrees either way")
        return gaze

    def words(self) -> list[str]:
        return [f"{self.yaw_degrees:g},{self.pitch_degrees:g}"]


@dataclass(frozen=True)
class HeadDirection:
    """How the head is held besides its motion."""

    yaw_degrees: float = 0.0
    """Turned towards the avatar's left."""
    pitch_degrees: float = 0.0
    """Raised."""
    roll_degrees: float = 0.0
    """Tilted to the avatar's left shoulder."""

    @classmethod
    def parse(cls, words: list[str]) -> "HeadDirection":
        """From "YAW,PITCH,ROLL"; raises ValueError that says what is wrong."""
        numbers = _numbers(words[0], "YAW,PITCH,ROLL (degrees)", 3)
        most = math.degrees(HEAD_LIMIT_RAD)
        if max(map(abs, numbers)) > most:
            raise ValueError(f"{words[0]}: expected at most {most:.0f} degrees either way")
        return cls(*numbers)

    def words(self) -> list[str]:
        return [f"{self.yaw_degrees:g},{self.pitch_degrees:g},{self.roll_degrees:g}"]


@dataclass(frozen=True)
class Mood:
    """A place in the plane of feeling, each -1..1."""

    valence: float = 0.0
    """From bad to good."""
    arousal: float = 0.0
    """From calm to excited."""

    @classmethod
    def parse(cls, words: list[str]) -> "Mood":
        """From "VALENCE,AROUSAL"; raises ValueError that says what is wrong."""
        mood = cls(*_numbers(words[0], "VALENCE,AROUSAL (-1 to 1 each)", 2))
        if max(abs(mood.valence), abs(mood.arousal)) > 1:
            raise ValueError(f"{words[0]}: expected -1 to 1 for valence and for arousal")
        return mood

    def words(self) -> list[str]:
        return [f"{self.valence:g},{self.arousal:g}"]


def _number_within(least: float, most: float, meaning: str) -> Callable[[list[str]], float]:
    def parse(words: list[str]) -> float:
        (value,) = _numbers(words[0], meaning, 1)
        if not least <= value <= most:
            raise ValueError(f"{words[0]}: expected {least:g} to {most:g}, {meaning}")
        return value

    return parse


def _numbers(text: str, meaning: str, count: int) -> list[float]:
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        raise ValueError(f"{text!r}: expected {meaning}") from None
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{text!r}: expected {meaning}")
    return numbers


def _option(kind: type, metavar: str) -> tyro.constructors.PrimitiveConstructorSpec:
    """How one of the classes above is read from, and shown on, the command line."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=kind.parse,
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: value.words(),
    )


_FPS = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="FPS",
    instance_from_str=parse_fps,
    is_instance=lambda value: isinstance(value, float),
    str_from_instance=lambda value: [f"{value:g}"],
)
_EXPRESSION = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="NAME:WEIGHT,...",
    instance_from_str=parse_expression,
    is_instance=lambda value: isinstance(value, dict),
    str_from_instance=lambda value: [",".join(f"{name}:{w:g}" for name, w in value.items())],
)
_EMOTION = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="NAME:0..1,...",
    instance_from_str=parse_emotion,
    is_instance=lambda value: isinstance(value, dict),
    str_from_instance=lambda value: [",".join(f"{name}:{w:g}" for name, w in value.items())],
)

_MOOD = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="VALENCE,AROUSAL",
    instance_from_str=Mood.parse,
    is_instance=lambda value: value is None or isinstance(value, Mood),
    str_from_instance=lambda value: value.words() if value else ["none"],
)


def _scale(least: float, most: float, metavar: str) -> tyro.constructors.PrimitiveConstructorSpec:
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=_number_within(least, most, metavar),
        is_instance=lambda value: isinstance(value, float),
        str_from_instance=lambda value: [f"{value:g}"],
    )


def _at_most_one(meaning: str, without: str) -> Callable[[list[str]], str]:
    def parse(words: list[str]) -> str:
        if len(words) > 1:
            raise ValueError(f"{' '.join(words)!r}: expected {meaning} as one word, or nothing")
        return words[0] if words else without

    return parse


def _port(words: list[str]) -> int:
    """The port of `--control [PORT]`; raises ValueError that says what is wrong."""
    text = _at_most_one("a port", str(CONTROL_PORT))(words)
    if not re.fullmatch(r"\d{1,5}", text) or not (int(text) == 0 or 1024 <= int(text) <= 65535):
        raise ValueError(f"{text!r}: expected a port from 1024 to 65535, or 0 for any free one")
    return int(text)


EmotionOption = Annotated[dict[str, float], _EMOTION]
GazeOption = Annotated[GazeDirection, _option(GazeDirection, "YAW,PITCH")]
HeadOption = Annotated[HeadDirection, _option(HeadDirection, "YAW,PITCH,ROLL")]
MoodOption = Annotated[Mood | None, _MOOD]
ViewOption = Annotated[ViewPoint, _option(ViewPoint, "YAW,PITCH,DISTANCE")]
SizeOption = Annotated[PictureSize, _option(PictureSize, "PIXELS")]
ColourOption = Annotated[Colour, _option(Colour, "RRGGBB")]
FpsOption = Annotated[float, _FPS]
ExpressionOption = Annotated[dict[str, float], _EXPRESSION]
AvatarOption = Annotated[str, tyro.conf.arg(metavar="AVATAR")]
SoundOption = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


VirtualCameraOption = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME]",
        instance_from_str=_at_most_one("the name of a camera", ""),
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: ["none"] if value is None else [value],
    ),
]
WebcamOption = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[N]",
        instance_from_str=_at_most_one("the number of a camera", "0"),
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: ["none"] if value is None else [value],
    ),
]
ControlOption = Annotated[
    int | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[PORT]",
        instance_from_str=_port,
        is_instance=lambda value: value is None or isinstance(value, int),
        str_from_instance=lambda value: ["none"] if value is None else [str(value)],
    ),
]
VoiceOption = Annotated[Path | None, tyro.conf.arg(metavar="ME.voice")]


StreamOption = Annotated[
    tuple[Annotated[Target, _option(Target, "TARGET")], ...], tyro.conf.UseAppendAction
]


def _output(metavar: str) -> object:
    return tyro.conf.arg(name="output", aliases=["-o"], metavar=metavar)


@dataclass(frozen=True, kw_only=True)
class Acting:
    """What is asked of a face that speaks, besides its words."""

    emotion: EmotionOption = field(default_factory=dict)
    """Mood and intensity, such as happiness:0.7, or two of them: anger, contempt, disgust, fear,
    happiness, neutral, sadness, surprise."""
    mood: MoodOption = None
    """Instead of --emotion: from bad (-1) to good (1) and from calm (-1) to excited (1)."""
    gaze: GazeOption = GazeDirection()
    """Where it looks most of the time: degrees towards the avatar's left, degrees up."""
    head: HeadOption = HeadDirection()
    """How the head is held besides its motion, at most 20 degrees each: turned towards the avatar's
    left, raised, tilted to its left shoulder. The eyes stay where they look."""
    distance: Annotated[float, _scale(-DISTANCE_LIMIT_M, DISTANCE_LIMIT_M, "METRES")] = 0.0
    """How far the head comes nearer to the viewer; negative draws back."""
    articulation: Annotated[float, _scale(LEAST_ARTICULATION, MOST_ARTICULATION, "0.75..1.25")] = (
        1.0
    )
    """How far lips and jaw go: less mumbles, more is very clear."""
    stillness: Annotated[float, _scale(0.0, STILLNESS_MOST, "0..1.5")] = 1.0
    """Scales the motion of head and brows: 0 holds them still, 1 is as people talk."""

    def __post_init__(self) -> None:
        if self.emotion and self.mood is not None:
            raise ValueError("expected --emotion NAME:0..1 or --mood VALENCE,AROUSAL, not both")

    @property
    def direction(self) -> Direction:
        """The same for the generator."""
        emotion = no_emotion() if self.mood is None else emotion_of(*astuple(self.mood))
        for name, intensity in self.emotion.items():
            emotion[EMOTION_NAMES.index(name)] = intensity
        head = self.head
        return Direction(
            emotion=emotion,
            gaze=(math.radians(self.gaze.yaw_degrees), math.radians(self.gaze.pitch_degrees)),
            head=(
                math.radians(head.yaw_degrees),
                math.radians(head.pitch_degrees),
                math.radians(head.roll_degrees),
            ),
            distance=self.distance,
            articulation=self.articulation,
            stillness=self.stillness,
        )


ActingOption = Annotated[Acting, tyro.conf.OmitArgPrefixes]


@dataclass(frozen=True, kw_only=True)
class MakeSettings:
    """Make an avatar from one portrait photograph.

    For example:
      visavis make me.jpg -o me.avatar
      visavis make me.jpg -o me.avatar --report me-report
      visavis make me.jpg -o me.avatar --video me.mp4
    """

    portrait: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PORTRAIT")]
    """The photograph (JPEG, PNG, WebP, ...): one face, looking at the camera, well lit."""
    output: Annotated[Path, _output("OUT.avatar")]
    """The avatar file to write. The same portrait always gives the same file (on the processor)."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="ME.mp4")] = None
    """A film of the same person talking, half a minute or more, to learn from what a template does
    not know: wrinkles, lips, teeth and skin as they move, and what the photograph hides."""
    teacher: Annotated[str | None, tyro.conf.arg(metavar="own|video|liveportrait:DIR")] = None
    """Whom to learn that from: the film (taken where one is given), the program's own rules of how
    skin folds, or a folder with the ONNX files of LivePortrait."""
    budget: Literal["quick", "normal", "best"] = "normal"
    """How long it is refined against the photograph: not at all, about a minute, or several. With a
    teacher, how long is learned: about 2, 20 or 60 minutes on two cores."""
    device: Device = "auto"
    """What refines it and learns from a teacher: the processor, or an NVIDIA card where gsplat is
    installed (auto: that, else the processor)."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Write a page about the making to this folder: the fit, the head all around, every
    expression, and what will look poor and why. Open report.html in it."""
    preview: Annotated[Path | None, tyro.conf.arg(metavar="OUT.png")] = None
    """Write a picture of the avatar (512 pixels) as soon as there is one."""


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Make a film of an avatar that speaks a sound, follows a face in a video, or a motion file.

    For example:
      visavis render --audio speech.wav -o film.mp4
      visavis render --audio speech.wav --emotion happiness:0.7 --gaze 15,0 -o film.mp4
      visavis render --avatar me.avatar --drive webcam.mp4 -o film.mp4
      visavis render --avatar me.avatar --motion speech.npz --view 30,5,1 -o film.mp4
    """

    output: Annotated[Path, _output("OUT.mp4")]
    """The film to write (MP4: H.264, and AAC where there is sound)."""
    avatar: AvatarOption = DEFAULT_AVATAR
    """An .avatar file, or the name of a bundled avatar."""
    audio: SoundOption = None
    """What it says: any sound or video file. The sound goes into the film."""
    motion: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Instead of --audio: a .npz, .csv or .json of visavis motion, or a Live Link Face recording
    (.csv) of a phone; the film is silent."""
    drive: Annotated[Path | None, tyro.conf.arg(metavar="VIDEO")] = None
    """Instead of --audio: a video of a face, which the avatar follows; its sound is kept."""
    size: SizeOption = PictureSize()
    """Pixels: SIDE or WIDTHxHEIGHT."""
    fps: FpsOption = DEFAULT_FPS
    """Frames a second."""
    view: ViewOption = ViewPoint()
    """Where the camera stands: degrees towards the avatar's left, degrees up, metres away."""
    background: ColourOption = BACKDROP
    """The colour behind the head: RRGGBB, black, grey or white."""
    backend: Backend = "auto"
    """Which renderer draws: auto takes the fastest, gl wants a graphics card, reference is slow and
    exact."""
    voice: VoiceOption = None
    """Whose lips speak: a file of visavis calibrate. Without it ME.voice beside
    ME.avatar is used, if there is one."""
    rig: bool = False
    """Beside the avatar a plain head, moved only by the 174 rig controls: what a game engine gets.
    The film is twice as wide."""
    seed: int = 0
    """Of all that is left to chance: blinks, glances, head motion. The lips follow the sound."""
    acting: ActingOption = Acting()

    def __post_init__(self) -> None:
        given = [source for source in (self.audio, self.motion, self.drive) if source is not None]
        if len(given) != 1:
            raise ValueError("expected one of --audio FILE, --motion FILE and --drive VIDEO")


@dataclass(frozen=True, kw_only=True)
class TurntableSettings:
    """Make a film of an avatar from all around, while it rests or speaks.

    For example:
      visavis turntable -o around.mp4
      visavis turntable --avatar me.avatar --audio speech.wav --degrees 45 -o swing.mp4
    """

    output: Annotated[Path, _output("OUT.mp4")]
    """The film to write (MP4: H.264, and AAC where there is sound)."""
    avatar: AvatarOption = DEFAULT_AVATAR
    """An .avatar file, or the name of a bundled avatar."""
    audio: SoundOption = None
    """What it says meanwhile: any sound or video file; the film is as long. Without it the face
    rests, for one turn."""
    seconds: Annotated[float, _scale(LEAST_TURN_S, MOST_TURN_S, "SECONDS")] = 8.0
    """Of one turn."""
    degrees: Annotated[float, _scale(1.0, ALL_AROUND, "DEGREES")] = ALL_AROUND
    """360 goes all around; less swings so far to both sides."""
    size: SizeOption = PictureSize()
    """Pixels: SIDE or WIDTHxHEIGHT."""
    fps: FpsOption = DEFAULT_FPS
    """Frames a second."""
    view: ViewOption = ViewPoint()
    """Where the camera starts: degrees towards the avatar's left, degrees up, metres away."""
    background: ColourOption = BACKDROP
    """The colour behind the head: RRGGBB, black, grey or white."""
    backend: Backend = "auto"
    """Which renderer draws: auto takes the fastest, gl wants a graphics card, reference is slow and
    exact."""
    voice: VoiceOption = None
    """Whose lips speak: a file of visavis calibrate. Without it ME.voice beside
    ME.avatar is used, if there is one."""
    seed: int = 0
    """Of all that is left to chance: blinks, glances, head motion. The lips follow the sound."""
    acting: ActingOption = Acting()


@dataclass(frozen=True, kw_only=True)
class StillSettings:
    """Make one picture of an avatar.

    For example:
      visavis still -o face.png --expression jawOpen:0.6,eyeBlinkLeft:1 --view 30,0,1
      visavis still --avatar head.ply -o head.png --view 30,0,1
    """

    output: Annotated[Path, _output("OUT.png")]
    """The picture to write (PNG)."""
    avatar: AvatarOption = DEFAULT_AVATAR
    """An .avatar file, the name of a bundled avatar, or a .ply of Gaussians, which stand still."""
    expression: ExpressionOption = field(default_factory=dict)
    """ARKit expression names with weights from 0 to 1; and tongueTipUp, tongueUp, tongueForward."""
    size: SizeOption = PictureSize()
    """Pixels: SIDE or WIDTHxHEIGHT."""
    view: ViewOption = ViewPoint()
    """Where the camera stands: degrees towards the avatar's left, degrees up, metres away."""
    background: ColourOption = BACKDROP
    """The colour behind the head: RRGGBB, black, grey or white."""
    backend: Backend = "auto"
    """Which renderer draws: auto takes the fastest, gl wants a graphics card, reference is slow and
    exact."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Write an avatar's Gaussians, standing still, as a .ply for other programs.

    Any viewer or editor of 3D Gaussians reads it (SuperSplat, for one); visavis still draws it.

    For example:
      visavis export -o head.ply
      visavis export --avatar me.avatar -o smile.ply --expression mouthSmileLeft:1,mouthSmileRight:1
    """

    output: Annotated[Path, _output("OUT.ply")]
    """The file to write."""
    avatar: AvatarOption = DEFAULT_AVATAR
    """An .avatar file, or the name of a bundled avatar."""
    expression: ExpressionOption = field(default_factory=dict)
    """ARKit expression names with weights from 0 to 1; and tongueTipUp, tongueUp, tongueForward."""


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """Write the motion of a face that speaks a sound, or of the face in a video, as a file.

    The ending chooses the form: .npz holds everything; .csv and .json expressions, gaze, head and
    MetaHuman's 174 controls by name; .usda an animation for USD; .glb a head that plays it with
    its sound in any glTF viewer; .bvh the turns of head and eyes.

    For example:
      visavis motion --audio speech.wav -o speech.npz
      visavis motion --audio speech.wav -o speech.csv --layout livelink --fps 60
      visavis motion --audio speech.wav -o speech.glb
      visavis motion --drive webcam.mp4 -o face.npz
    """

    output: Annotated[Path, _output("OUT.npz|.csv|.json|.usda|.glb|.bvh")]
    """The file to write."""
    audio: SoundOption = None
    """Any sound or video file."""
    drive: Annotated[Path | None, tyro.conf.arg(metavar="VIDEO")] = None
    """Instead of --audio: a video of a face, whose motion is written."""
    fps: FpsOption = DEFAULT_FPS
    """Frames a second: 24, 25, 30, 50, 60 or any other."""
    timecode: Annotated[Timecode, _option(Timecode, "HH:MM:SS:FF")] = field(
        default_factory=Timecode
    )
    """Of the first frame."""
    layout: Literal["own", "livelink", "rigmapper"] = "own"
    """Of a .csv: livelink as the Live Link Face app records, rigmapper as Unreal's rig mapper
    imports."""
    names: Literal["published", "maya", "unreal", "raw"] | None = None
    """How MetaHuman's controls are spelled: CTRL_L_brow_down-translateY, .translateY, .ty, or the
    raw CTRL_expressions_browDownL; without it as the form usually has them."""
    tongue_names: Literal["old", "new"] = "old"
    """Newer MetaHumans have other names for the tongue's controls."""
    voice: VoiceOption = None
    """Whose lips speak: a file of visavis calibrate."""
    seed: int = 0
    """Of all that is left to chance: blinks, glances, head motion. The lips follow the sound."""
    acting: ActingOption = Acting()

    def __post_init__(self) -> None:
        if (self.audio is None) == (self.drive is None):
            raise ValueError("expected one of --audio FILE and --drive VIDEO")
        if self.layout != "own" and self.output.suffix.lower() != ".csv":
            raise ValueError(f"--layout {self.layout}: expected -o OUT.csv")


@dataclass(frozen=True, kw_only=True)
class CalibrateSettings:
    """Fit the lips to how one person moves theirs, from a film of them talking.

    Talk to a webcam for a minute, as you do, facing it. It takes about as long as the film. The
    file written belongs to the program's speech weights and holds no picture and no sound.

    For example:
      visavis calibrate --video me.mp4 -o me.voice
      visavis render --avatar me.avatar --voice me.voice --audio speech.wav -o film.mp4
    """

    video: Annotated[Path, tyro.conf.arg(metavar="ME.mp4")]
    """15 seconds to 15 minutes of one person who talks towards the camera, with their sound."""
    output: Annotated[Path | None, _output("ME.voice")] = None
    """The file to write. As ME.voice beside ME.avatar it is used by itself."""
    check: bool = False
    """Only measure what it would gain; write nothing."""
    offset: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """By how much the film's sound comes after its picture, where that is known. Otherwise it is
    found, and lips that move early or late throughout count as the film's fault, not as theirs."""

    def __post_init__(self) -> None:
        if not self.check and self.output is None:
            raise ValueError("expected -o ME.voice, or --check to write nothing")
        if self.offset is not None and not abs(self.offset) <= 1:
            raise ValueError(f"--offset {self.offset:g}: expected -1 to 1 seconds")


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """Look at this machine and say what works, what does not and what to do about it.

    For example:
      visavis doctor
    """

    json: bool = False
    """Print the same as JSON, for a report or another program."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What `visavis` without arguments does on a machine without a display."""

    output: Path = Path("visavis-demo.mp4")


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Show an avatar that speaks with your voice: a headset if there is one, a window, your
    microphone.

    For example:
      visavis live
      visavis live --avatar me.avatar --microphone USB
      visavis live --audio speech.wav
      visavis live --stream livelink://192.168.1.20 --stream ws://
    """

    avatar: AvatarOption = DEFAULT_AVATAR
    """An .avatar file, or the name of a bundled avatar."""
    microphone: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """A part of the microphone's name; the system's default where none is named."""
    audio: SoundOption = None
    """Instead of a microphone: any sound or video file, played aloud where there is a window."""
    voice: VoiceOption = None
    """Whose lips speak: a file of visavis calibrate. Without it ME.voice beside
    ME.avatar is used, if there is one."""
    xr: Literal["auto", "on", "off"] = "auto"
    """The headset: auto takes one whenever one is there, on says why where there is none, off looks
    for none."""
    passthrough: bool = False
    """In a headset that can show it: your own room behind the avatar instead of the dark one."""
    webcam: WebcamOption = None
    """Your face before a camera moves the avatar, as in a mirror: the first camera, or the one of
    this number. Its pictures stay on this computer and are not kept. Wants a window."""
    display: Literal["auto", "window", "none"] = "auto"
    """none draws into memory, to measure; auto opens a window where there is a display."""
    seconds: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """End after so many seconds of showing; without it, when the window is closed."""
    record: Annotated[Path | None, tyro.conf.arg(metavar="OUT.mp4")] = None
    """Record picture and sound from the first face on: OUT.mp4, OUT.webm with a transparent
    background, or a new folder of such PNGs where there is no ending."""
    record_fps: FpsOption = RECORD_FPS
    """Frames a second of recordings and of the virtual camera, whatever the window's rate is."""
    backdrop: ColourOption = BACKDROP
    """The colour behind the head in recordings, snapshots and the virtual camera: RRGGBB, black,
    grey or white."""
    save_to: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path()
    """The folder for what the panel's buttons and other programs record; the present one where none
    is named."""
    virtual_camera: VirtualCameraOption = None
    """Be a camera for video calls, at --size: the system's usual virtual camera, or the one that is
    named. Needs pyvirtualcam and a driver (docs/recording.md)."""
    control: ControlOption = None
    """Let other programs of this machine steer it, over HTTP and WebSocket (docs/control.md); the
    port is 8470 where none is named, and 0 takes any free one. Without this no port is opened."""
    control_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Where the address and the token of --control are written, for you alone to read; without it,
    into the folder of the system for such files."""
    stats: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Write how many frames were shown and how long they took, in milliseconds."""
    size: SizeOption = PictureSize(720, 720)
    """Pixels: the most that is drawn; a window enlarges it, and a slow machine draws less."""
    detail: Literal["full", "auto"] = "full"
    """auto draws fewer Gaussians where the head is small, after some seconds of work for each
    avatar; full draws all."""
    backend: Backend = "auto"
    """Which renderer draws: auto takes the fastest, gl wants a graphics card, reference is slow and
    exact."""
    stream: StreamOption = ()
    """Send the motion to another program, as often as wanted: livelink://HOST (Unreal's Live Link
    Face), vmc://HOST (VRM avatars), osc://HOST, or ws:// to be listened to by browsers."""
    rig: bool = False
    """Beside the avatar a plain head, moved only by the rig controls as they are streamed: what a
    game engine gets."""
    stream_fps: Annotated[float, _scale(LEAST_STREAM_FPS, MOST_STREAM_FPS, "FPS")] = (
        DEFAULT_STREAM_FPS
    )
    """Frames a second of the streams, whatever the picture has."""
    acting: ActingOption = Acting()
