"""What the gateway is told from outside."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared.bus.connection import NatsOptions
from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`keys_file` is None where everyone who reaches the gateway may do everything; `mint_keys`:
    make that file, with one key, if it is not there. `port` 0 takes any that is free;
    `shares_port`: other gateways of this machine may listen there too. `requests_per_s` is for
    each key, and for each address where no key is needed.
    """

    nats: NatsOptions
    host: str
    port: int
    shares_port: bool
    sockets_per_key: int
    requests_per_s: float
    keys_file: Path | None
    mint_keys: bool
    origins: frozenset[str]
    data_dir: Path

    @classmethod
    def read(cls, env: Environment) -> "Settings":
        """Raises InvalidSetting, also for an address that others reach while no key is needed."""
        host = env.text("GATEWAY_HOST", "127.0.0.1")
        keys = env.optional("GATEWAY_KEYS_FILE")
        if keys is None and not _is_loopback(host):
            raise InvalidSetting(
                f"GATEWAY_HOST={host!r} can be reached by others, who could then do everything: "
                f"set GATEWAY_KEYS_FILE=auto, which makes a key, or stay on 127.0.0.1"
            )
        automatic = env.data_dir() / "gateway" / "keys.jsonl"
        return cls(
            nats=NatsOptions.read(env),
            host=host,
            port=env.integer("GATEWAY_PORT", 8000, least=0, most=65535),
            shares_port=env.flag("GATEWAY_SHARE_PORT", default=False),
            sockets_per_key=env.integer("GATEWAY_SOCKETS_PER_KEY", 2000, least=1, most=1_000_000),
            requests_per_s=env.decimal("GATEWAY_REQUESTS_PER_S", 500, least=1, most=1_000_000),
            keys_file=automatic if keys == "auto" else Path(keys).expanduser() if keys else None,
            mint_keys=keys == "auto",
            origins=_origins(env.text("ALLOWED_ORIGINS", "")),
            data_dir=env.data_dir(),
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origins(text: str) -> frozenset[str]:
    """Comma-separated origins, exactly as browsers send them."""
    origins = [part.strip().rstrip("/").lower() for part in text.split(",") if part.strip()]
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin:
            raise InvalidSetting(
                f"ALLOWED_ORIGINS={text!r} is not allowed: set origins like https://host:port, "
                f"with commas between them"
            )
    return frozenset(origins)
