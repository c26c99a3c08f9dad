"""Where a stream goes, as it is named on the command line: `livelink://HOST:PORT?OPTION=VALUE`."""

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from avatar.rig.stream_names import LIVE_LINK_PORT, VMC_NAMES

Scheme = Literal["livelink", "vmc", "osc", "ws"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
PORTS: dict[Scheme, int] = {"livelink": LIVE_LINK_PORT, "vmc": 39539, "osc": 9000, "ws": 8765}
"""That is taken where none is named: those of Unreal, of VMC receivers, and of our own choice."""
OPTIONS: dict[Scheme, dict[str, tuple[str, ...]]] = {
    "livelink": {"name": ()},
    "vmc": {"names": VMC_NAMES},
    "osc": {"form": ("arrays", "named")},
    "ws": {"origin": ()},
}
"""Option -> what it may be; () is anything."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver; for ws the address that we listen on."""

    scheme: Scheme
    host: str
    port: int
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, words: list[str]) -> "Target":
        """From "SCHEME://HOST[:PORT][?OPTION=VALUE]"; raises ValueError that says what is wrong."""
        text = words[0]
        expected = "expected livelink://HOST, vmc://HOST, osc://HOST or ws://, with :PORT if wanted"
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise ValueError(f"{text!r}: {expected}") from None
        named: dict[str, Scheme] = {known: known for known in SCHEMES}
        scheme = named.get(parts.scheme.lower())
        if scheme is None or parts.path not in ("", "/") or parts.username is not None:
            raise ValueError(f"{text!r}: {expected}")
        if not host:
            if scheme != "ws":
                raise ValueError(f"{text!r}: names no receiver; {expected}")
            host = LOOPBACK
        if port == 0:
            raise ValueError(f"{text!r}: port 0; expected 1 to 65535")
        options = parse_qsl(parts.query, keep_blank_values=True)
        for name, value in options:
            allowed = OPTIONS[scheme].get(name)
            if allowed is None:
                known = ", ".join(OPTIONS[scheme])
                raise ValueError(f"{text!r}: {scheme} has no option {name!r}, only {known}")
            if allowed and value not in allowed:
                raise ValueError(f"{text!r}: {name} must be {' or '.join(allowed)}")
        return cls(scheme, host, PORTS[scheme] if port is None else port, tuple(options))

    def option(self, name: str, default: str) -> str:
        """The last value given for it."""
        return dict(self.options).get(name, default)

    def words(self) -> list[str]:
        """What `parse` takes."""
        return [str(self)]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.scheme}://{host}:{self.port}{'?' if query else ''}{query}"
