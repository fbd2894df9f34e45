"""The file of keys: one JSON object a line, `{"name", "role", "sha256"}`. Keys are not in it."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from services.gateway.domain.access import Keys, Role, fingerprint, role_named
from shared.contracts.errors import InvalidSetting

_SHA256_HEX: Final = 64


class Minted(NamedTuple):
    """A key that was made just now. It is known nowhere else."""

    key: str
    file: Path


def read(path: Path) -> Keys:
    """Raises InvalidSetting when the file is not there, or a line in it is wrong."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise InvalidSetting(f"GATEWAY_KEYS_FILE={path}: {exc.strerror}") from exc
    roles = [_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not roles:
        raise InvalidSetting(f"GATEWAY_KEYS_FILE={path} holds no key; `auto` makes one")
    return Keys(tuple(roles))


def mint(path: Path) -> Minted | None:
    """Make the file with one new admin key in it; None if there is a file already."""
    if path.exists():
        return None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = f"evt_{secrets.token_urlsafe(32)}"
    entry = {"name": "first", "role": Role.ADMIN.label, "sha256": fingerprint(key)}
    partial = path.with_suffix(".partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps(entry) + b"\n")
    partial.replace(path)
    return Minted(key, path)


def _entry(path: Path, number: int, line: bytes) -> tuple[str, Role]:
    try:
        entry = orjson.loads(line)
        digest, role = str(entry["sha256"]).lower(), role_named(str(entry["role"]))
        if len(bytes.fromhex(digest)) * 2 != _SHA256_HEX:
            raise ValueError("sha256 is not a SHA-256 in hex")
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidSetting(
            f'GATEWAY_KEYS_FILE={path}, line {number}: {exc}; write {{"name": "phone", '
            f'"role": "read", "sha256": "..."}} with the SHA-256 of the key in hex'
        ) from exc
    return digest, role
