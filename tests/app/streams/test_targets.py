"""Targets of streams as they are named on the command line."""

import pytest

from app.streams.targets import Target


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("livelink://192.168.1.20", "livelink", "192.168.1.20", 11111),
        ("livelink://studio:11112", "livelink", "studio", 11112),
        ("VMC://localhost", "vmc", "localhost", 39539),
        ("osc://[::1]:7000/", "osc", "::1", 7000),
        ("ws://", "ws", "127.0.0.1", 8765),
        ("ws://0.0.0.0:80", "ws", "0.0.0.0", 80),
    ],
)
def test_a_target_names_scheme_host_and_port(text, scheme, host, port):
    target = Target.parse([text])
    assert (target.scheme, target.host, target.port) == (scheme, host, port)
    assert Target.parse(target.words()) == target


def test_options_are_those_of_the_scheme():
    assert Target.parse(["vmc://h?names=vrm1"]).option("names", "vrm0") == "vrm1"
    assert Target.parse(["vmc://h"]).option("names", "vrm0") == "vrm0"
    assert Target.parse(["livelink://h?name=Ada"]).option("name", "") == "Ada"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected livelink"),
        ("http://h", "expected livelink"),
        ("h:9000", "expected livelink"),
        ("osc://", "names no receiver"),
        ("osc://h:0", "port 0"),
        ("osc://h:70000", "expected livelink"),
        ("osc://h:x", "expected livelink"),
        ("osc://[::1", "expected livelink"),
        ("osc://h/path", "expected livelink"),
        ("osc://me:secret@h", "expected livelink"),
        ("osc://h?speed=3", "has no option 'speed', only form"),
        ("osc://h?form=odd", "form must be arrays or named"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        Target.parse([text])
