"""Writes assets/SHA256SUMS: run it after any file in assets/ was changed on purpose."""

import hashlib
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1] / "assets"
NOT_LISTED = {".py", ".pyc", ".md"}


def main() -> None:
    files = sorted(
        path
        for path in ASSETS.rglob("*")
        if path.is_file() and path.suffix not in NOT_LISTED and path.name != "SHA256SUMS"
    )
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(ASSETS).as_posix()}\n"
        for path in files
    ]
    (ASSETS / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
