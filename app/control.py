"""What other programs may ask of a live run, and what they are told: one table for all.

Each command is a record whose types carry its limits. The server reads requests with them, and
docs/openapi.json is written from them (`python -m app.control docs/openapi.json`), so what is
documented is what is checked. Angles are in degrees, as on the command line.
"""

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.turntable import LEAST_S, MOST_S
from avatar.motion.direction import (
    DISTANCE_LIMIT_M,
    GAZE_LIMIT_RAD,
    HEAD_LIMIT_RAD,
    LEAST_ARTICULATION,
    MOST_ARTICULATION,
    STILLNESS_MOST,
)

VERSION = "1"
"""Of the interface. What is added keeps it; what is changed or taken away raises it."""
MOST_SOUND_BYTES = 64 << 20
MOST_COMMAND_BYTES = 64 << 10
MOST_SOUND_S = 600.0

_GAZE = math.floor(math.degrees(GAZE_LIMIT_RAD))
_HEAD = math.floor(math.degrees(HEAD_LIMIT_RAD))
GazeAngle = Annotated[float, Meta(ge=-_GAZE, le=_GAZE, description="degrees")]
HeadAngle = Annotated[float, Meta(ge=-_HEAD, le=_HEAD, description="degrees")]
Share = Annotated[float, Meta(ge=0, le=1)]
Feeling = Annotated[float, Meta(ge=-1, le=1)]
Emotion = Literal[
    "anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"
]
Kind = Literal["mp4", "webm", "png"]
Name = Annotated[str, Meta(min_length=1, max_length=1000)]


class Gaze(Struct, forbid_unknown_fields=True):
    """Where the eyes rest most of the time; 0, 0 is a viewer straight ahead."""

    yaw: Annotated[GazeAngle, Meta(description="+ to the avatar's left")] = 0.0
    pitch: Annotated[GazeAngle, Meta(description="+ up")] = 0.0


class Head(Struct, forbid_unknown_fields=True):
    """How the head is held besides its motion."""

    yaw: Annotated[HeadAngle, Meta(description="+ turned to the avatar's left")] = 0.0
    pitch: Annotated[HeadAngle, Meta(description="+ raised")] = 0.0
    roll: Annotated[HeadAngle, Meta(description="+ tilted to the avatar's left shoulder")] = 0.0


class Mood(Struct, forbid_unknown_fields=True):
    """A place in the plane of feeling."""

    valence: Annotated[Feeling, Meta(description="from bad to good")] = 0.0
    arousal: Annotated[Feeling, Meta(description="from calm to excited")] = 0.0


class Camera(Struct, forbid_unknown_fields=True):
    """Where the viewer stands, on a sphere around the head."""

    yaw: Annotated[float, Meta(ge=-80, le=80, description="degrees to the avatar's left")] = 0.0
    pitch: Annotated[float, Meta(ge=-35, le=50, description="degrees up")] = 0.0
    distance: Annotated[float, Meta(ge=0.35, le=3, description="metres")] = 1.0


class Controls(Struct, tag_field="command", tag="controls", forbid_unknown_fields=True):
    """What is asked of the face, the sound and the view. What is left out stays as it is."""

    emotion: (
        Annotated[
            dict[Emotion, Share],
            Meta(
                description="intensities; not named ones are 0",
                extra_json_schema={"propertyNames": {"enum": list(get_args(Emotion))}},
            ),
        ]
        | UnsetType
    ) = UNSET
    mood: Annotated[Mood, Meta(description="in place of emotion")] | UnsetType = UNSET
    gaze: Gaze | UnsetType = UNSET
    head: Head | UnsetType = UNSET
    distance: (
        Annotated[
            float,
            Meta(
                ge=-DISTANCE_LIMIT_M,
                le=DISTANCE_LIMIT_M,
                description="metres that the head comes nearer",
            ),
        ]
        | UnsetType
    ) = UNSET
    articulation: (
        Annotated[
            float,
            Meta(
                ge=LEAST_ARTICULATION, le=MOST_ARTICULATION, description="how far lips and jaw go"
            ),
        ]
        | UnsetType
    ) = UNSET
    stillness: (
        Annotated[
            float, Meta(ge=0, le=STILLNESS_MOST, description="scales motion of head and brows")
        ]
        | UnsetType
    ) = UNSET
    gain: (
        Annotated[float, Meta(ge=0.1, le=8, description="of the sound that the face hears")]
        | UnsetType
    ) = UNSET
    camera: Camera | UnsetType = UNSET
    backdrop: (
        Annotated[
            str,
            Meta(
                pattern="^#[0-9a-fA-F]{6}$",
                description="sRGB behind the head in what is recorded from now on",
            ),
        ]
        | UnsetType
    ) = UNSET


class ChooseAvatar(Struct, tag_field="command", tag="avatar", forbid_unknown_fields=True):
    """Change to another avatar; it takes a second or two."""

    name: Annotated[Name, Meta(description="one of the state's `avatars`")]


class ChooseMicrophone(Struct, tag_field="command", tag="microphone", forbid_unknown_fields=True):
    """Listen to another microphone."""

    name: Annotated[Name, Meta(description="one of the state's `microphones`")]


class PlayAgain(Struct, tag_field="command", tag="play-again", forbid_unknown_fields=True):
    """Play the sound file of `--audio` from its beginning."""


class StopSpeaking(Struct, tag_field="command", tag="stop-speaking", forbid_unknown_fields=True):
    """Cut off the sound that `/speak` gave; the microphone or file is heard again."""


class StartRecording(
    Struct, tag_field="command", tag="start-recording", forbid_unknown_fields=True
):
    """Record picture and sound into the folder of `--save-to`; the state names the file."""

    kind: Kind = "mp4"


class StopRecording(Struct, tag_field="command", tag="stop-recording", forbid_unknown_fields=True):
    """End the recording, or the turntable."""


class SaveSnapshot(Struct, tag_field="command", tag="snapshot", forbid_unknown_fields=True):
    """Save the next picture as PNG into the folder of `--save-to`."""

    alpha: Annotated[bool, Meta(description="transparent, without the backdrop")] = False


class TurnAround(Struct, tag_field="command", tag="turntable", forbid_unknown_fields=True):
    """Record while the camera turns once around the head."""

    seconds: Annotated[float, Meta(ge=LEAST_S, le=MOST_S)] = 8.0
    degrees: Annotated[
        float, Meta(gt=0, le=360, description="360: all around; less: so far to both sides")
    ] = 360.0
    kind: Kind = "mp4"


Command = (
    Controls
    | ChooseAvatar
    | ChooseMicrophone
    | PlayAgain
    | StopSpeaking
    | StartRecording
    | StopRecording
    | SaveSnapshot
    | TurnAround
)
COMMANDS: tuple[type[Struct], ...] = get_args(Command)


class Speak(Struct, tag_field="command", tag="speak"):
    """Server to program: a sound was uploaded and waits here."""

    path: str


class TakePicture(Struct, tag_field="command", tag="picture"):
    """Server to program: the next picture is wanted as PNG."""

    alpha: bool = False


class Recording(Struct):
    """The newest recording."""

    file: str
    running: bool
    seconds: float
    bytes: int
    dropped: int
    problem: str


class State(Struct):
    """How a live run stands. Told up to 25 times a second."""

    avatar: str
    avatars: list[str]
    loading: Annotated[str, Meta(description="what is being loaded; empty when all is ready")]
    sound_file: Annotated[str, Meta(description="that plays in place of a microphone; or empty")]
    sound_file_ended: bool
    microphone: str
    microphones: list[str]
    hearing: bool
    level: Annotated[float, Meta(ge=0, le=1, description="loudness, over -60 to 0 dB")]
    speech: Annotated[bool, Meta(description="whether somebody speaks")]
    speaking: Annotated[bool, Meta(description="whether an uploaded sound plays")]
    controls: Controls
    fps: float | None
    frame_ms: Annotated[float | None, Meta(description="time that a frame takes, median")]
    sound_to_sight_ms: float | None
    picture: Annotated[list[int], Meta(description="width and height as drawn, pixels")]
    backend: str
    recording: Recording | None
    saved: Annotated[
        str, Meta(description="file name of the newest snapshot or ended recording; or empty")
    ]
    problems: list[str]
    notes: list[str]


class Problem(Struct):
    """Why something was not done."""

    problem: Annotated[str, Meta(description="one line: what, expected, got, what to do")]


_KINDS: tuple[Any, ...] = (*COMMANDS, State, Problem)
_BYTES = {"type": "string", "format": "binary"}
_REFUSALS = {
    400: "not understood, or out of its limits",
    401: "without the token, or with another",
    403: "from another host name, or from a web page",
    408: "the request did not arrive in time",
    409: "not possible now",
    413: "too large",
    503: "the program is busy or ends",
}
_STRANGERS = (401, 403)


def _schemas() -> tuple[dict[Any, Any], dict[str, Any]]:
    """What stands for each kind, and the components that it refers to."""
    schemas, components = msgspec.json.schema_components(
        _KINDS, ref_template="#/components/schemas/{name}"
    )
    for kind in COMMANDS:  # its path names it; only on a WebSocket the body has to
        components[kind.__name__]["required"].remove("command")
    return dict(zip(_KINDS, schemas, strict=True)), components


_SCHEMA_OF, _COMPONENTS = _schemas()


def openapi() -> dict[str, Any]:
    """The interface as an OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "visavis, live",
            "version": VERSION,
            "description": "Steers a running `visavis live --control`. On this machine only; every"
            " request needs the token that the program printed and wrote to its control file.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8470"}],
        "security": [{"token": []}],
        "paths": _told_paths() | _said_path() | {path_of(kind): _posted(kind) for kind in COMMANDS},
        "components": {
            "schemas": _COMPONENTS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _told_paths() -> dict[str, Any]:
    """What can be asked without changing anything."""
    state = _content("application/json", _SCHEMA_OF[State], "the state")
    return {
        "/state": {
            "get": {"summary": "How it stands", "responses": _answers("200", state, _STRANGERS)}
        },
        "/socket": {
            "get": {
                "summary": "WebSocket: the state up to 25 times a second; commands the other way",
                "description": "Every command below may be sent as JSON text, with its path without"
                ' the slash as "command": {"command": "controls", "gain": 2}, and an "id" of any'
                ' kind where an answer is wanted: {"id": 1, "problem": ""}. The state comes as'
                ' {"state": {...}}. Sounds are uploaded with POST /speak.',
                "responses": _answers(
                    "101", {"description": "the WebSocket is open"}, (400, *_STRANGERS, 503)
                ),
            }
        },
        "/snapshot.png": {
            "get": {
                "summary": "The next picture",
                "parameters": [
                    {
                        "name": "alpha",
                        "in": "query",
                        "description": "1: transparent, without the backdrop",
                        "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
                    }
                ],
                "responses": _answers(
                    "200", _content("image/png", _BYTES, "PNG"), (400, *_STRANGERS, 409, 503)
                ),
            }
        },
    }


def _said_path() -> dict[str, Any]:
    """The one body that is no JSON."""
    kinds = ("audio/wav", "application/octet-stream")
    return {
        "/speak": {
            "post": {
                "summary": "Say this sound in place of what is heard now, then go on with that",
                "description": f"The body is a sound or video file as FFmpeg reads it, of at most "
                f"{MOST_SOUND_BYTES >> 20} MiB and {MOST_SOUND_S:.0f} seconds.",
                "requestBody": {
                    "required": True,
                    "content": {kind: {"schema": _BYTES} for kind in kinds},
                },
                "responses": _done(),
            }
        }
    }


def _posted(kind: type[Struct]) -> dict[str, Any]:
    """A command's path."""
    return {
        "post": {
            "summary": (kind.__doc__ or "").partition("\n")[0],
            "requestBody": {
                "required": any(field.required for field in msgspec.structs.fields(kind)),
                "content": {"application/json": {"schema": _SCHEMA_OF[kind]}},
            },
            "responses": _done(),
        }
    }


def _done() -> dict[str, Any]:
    state = _content("application/json", _SCHEMA_OF[State], "done; the state with it")
    return _answers("200", state, tuple(_REFUSALS))


def _answers(code: str, answer: dict[str, Any], refusals: tuple[int, ...]) -> dict[str, Any]:
    """`answer` where all is well, and what refuses."""
    refused = {
        str(refusal): _content("application/json", _SCHEMA_OF[Problem], _REFUSALS[refusal])
        for refusal in refusals
    }
    return {code: answer, **refused}


def _content(kind: str, schema: Any, description: str) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def path_of(kind: type[Struct]) -> str:
    """Where a command is posted."""
    return f"/{kind.__struct_config__.tag}"


def openapi_text() -> str:
    """`openapi` as the file in docs/ has it."""
    return json.dumps(openapi(), indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(openapi_text(), encoding="utf-8")
