"""Who may do what: keys and their roles, and the exact names under which we are reached."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from shared.contracts.errors import Permanent

#: What anybody may read: whether we live, and pages without data.
_OPEN: Final = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/favicon.ico"})
_OPEN_FOLDER: Final = "/static/"
_CONTROL: Final = frozenset(
    {
        ("PUT", "/api/v1/auto-train/config"),
        ("POST", "/api/v1/predictions/pregenerate"),
        ("DELETE", "/api/v1/predictions/cache"),
        ("POST", "/api/v1/system/drift/check"),
    }
)


class NotAuthenticated(Permanent):
    """A key is needed, and none was given, or not one of ours."""

    code = "not_authenticated"


class NotAllowed(Permanent):
    """The key's role does not reach so far, or the request came by a name or from a page that is
    not on the list.
    """

    code = "not_allowed"


class Role(IntEnum):
    """Each may do what the one before it may."""

    READ = 1
    CONTROL = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()


def role_named(label: str) -> Role:
    """Raises ValueError when there is no such role."""
    try:
        return Role[label.upper()]
    except KeyError:
        raise ValueError(f"{label!r} is not a role: read, control or admin") from None


def fingerprint(key: str) -> str:
    """How a key is kept. Keys are random and long, so one plain hash cannot be reversed."""
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """The roles of the keys that open this gateway, by fingerprint."""

    roles: tuple[tuple[str, Role], ...]

    def role(self, key: str) -> Role | None:
        """None for a key that is not ours. Takes the same time for every key."""
        presented = fingerprint(key)
        found = None
        for known, role in self.roles:
            if hmac.compare_digest(known, presented):
                found = role
        return found


def needed(method: str, path: str) -> Role | None:
    """The role that a request needs; None if it needs none. What is unknown needs the highest."""
    if method in ("GET", "HEAD"):
        return None if path in _OPEN or path.startswith(_OPEN_FOLDER) else Role.READ
    if method == "POST" and path.startswith("/api/v1/auto-train/"):
        return Role.CONTROL
    if (method, path) in _CONTROL:
        return Role.CONTROL
    return Role.ADMIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Checks every request and every socket before anything else looks at it.

    Without `keys` everyone who reaches us may do everything, so we must be reached by one of
    `hosts` exactly: a page from elsewhere could give its own name our address.
    """

    keys: Keys | None
    hosts: frozenset[str]
    origins: frozenset[str]

    def check_names(self, host: str, origin: str | None) -> None:
        """A page's own origin is allowed; programs send none.

        Raises:
            NotAllowed: the request came by another name, or from another page.
        """
        if self.keys is None and host.lower() not in self.hosts:
            raise NotAllowed(
                f"{host[:80]!r} is not a name of this gateway: use {min(self.hosts)}, "
                f"or set GATEWAY_KEYS_FILE to be reached by other names"
            )
        own = {f"http://{host.lower()}", f"https://{host.lower()}"}
        if origin is not None and origin not in own and origin not in self.origins:
            raise NotAllowed(
                f"pages of {origin[:80]!r} may not use this gateway: add it to ALLOWED_ORIGINS"
            )

    def role(self, authorization: str | None) -> Role | None:
        """The role that a header `Authorization` proves; None where there is no header.

        Raises:
            NotAuthenticated: the header holds no key of ours.
        """
        if self.keys is None:
            return Role.ADMIN
        if authorization is None:
            return None
        scheme, _, key = authorization.partition(" ")
        role = self.keys.role(key.strip()) if scheme.lower() == "bearer" else None
        if role is None:
            raise NotAuthenticated("this key is not known here: check it, or ask for another")
        return role

    def admit(self, method: str, path: str, authorization: str | None) -> None:
        """Raises NotAuthenticated or NotAllowed if the request needs more than it proves."""
        need = needed(method, path)
        if need is None:
            return
        role = self.role(authorization)
        if role is None:
            raise NotAuthenticated("send your key in the header `Authorization: Bearer KEY`")
        if role < need:
            raise NotAllowed(f"this needs a key with the role {need.label}; yours has {role.label}")


def own_names(host: str, port: int, origins: Iterable[str]) -> frozenset[str]:
    """The `Host` headers of requests that are meant for a gateway on `host` and `port`."""
    names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
    with_port = {f"{name}:{port}" for name in names}
    bare = names if port in (80, 443) else set()
    return frozenset(with_port | bare | {urlsplit(origin).netloc for origin in origins})
