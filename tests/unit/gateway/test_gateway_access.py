from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.adapters import keys
from services.gateway.domain.access import (
    Door,
    Keys,
    NotAllowed,
    NotAuthenticated,
    Role,
    fingerprint,
    needed,
    own_names,
)
from services.gateway.settings import Settings
from shared.contracts.errors import InvalidSetting
from shared.runtime.settings import Environment

OPEN = Door(
    keys=None,
    hosts=own_names("127.0.0.1", 8000, ["https://desk.example"]),
    origins=frozenset({"https://desk.example"}),
)
LOCKED = Door(
    keys=Keys(
        ((fingerprint("reader"), Role.READ), (fingerprint("operator"), Role.CONTROL)),
    ),
    hosts=frozenset(),
    origins=frozenset(),
)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8000", None),
        ("localhost:8000", "http://localhost:8000"),
        ("LOCALHOST:8000", None),
        ("[::1]:8000", None),
        ("desk.example", "https://desk.example"),
        ("127.0.0.1:8000", "https://desk.example"),
    ],
)
def test_a_request_by_our_name_and_from_our_pages_is_let_in(host: str, origin: str | None) -> None:
    OPEN.check_names(host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("", None),
        ("evil.example:8000", None),
        ("127.0.0.1:8001", None),
        ("127.0.0.1", None),
        ("127.0.0.1:8000, evil", None),
        ("127.0.0.1:8000", "null"),
        ("127.0.0.1:8000", "http://evil.example"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000.evil.example"),
        ("127.0.0.1:8000", "https://desk.example:444"),
        ("127.0.0.1:8000", "https://DESK.example"),
        ("127.0.0.1:8000", ""),
    ],
)
def test_a_request_by_another_name_or_from_another_page_is_refused(
    host: str, origin: str | None
) -> None:
    with pytest.raises(NotAllowed):
        OPEN.check_names(host, origin)


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/", None),
        ("GET", "/healthz", None),
        ("HEAD", "/readyz", None),
        ("GET", "/static/app.js", None),
        ("PUT", "/api/v1/auto-train/config", Role.CONTROL),
        ("DELETE", "/api/v1/auto-train/config", Role.ADMIN),
        ("PUT", "/api/v1/symbols", Role.ADMIN),
        ("GET", "/metrics", Role.READ),
        ("GET", "/api/v1/predictions/top", Role.READ),
        ("POST", "/api/v1/auto-train/trigger", Role.CONTROL),
        ("POST", "/healthz", Role.ADMIN),
        ("POST", "/api/v1/models/X/rollback", Role.ADMIN),
        ("BREW", "/api/v1/anything", Role.ADMIN),
    ],
)
def test_what_is_not_named_needs_the_highest_role(
    method: str, path: str, role: Role | None
) -> None:
    assert needed(method, path) == role


def test_each_role_reaches_as_far_as_it_should() -> None:
    LOCKED.admit("GET", "/api/v1/models", "Bearer reader")
    LOCKED.admit("POST", "/api/v1/auto-train/trigger", "bearer operator")
    with pytest.raises(NotAllowed, match="control"):
        LOCKED.admit("POST", "/api/v1/auto-train/trigger", "Bearer reader")
    with pytest.raises(NotAllowed, match="admin"):
        LOCKED.admit("PUT", "/api/v1/symbols", "Bearer operator")


@pytest.mark.parametrize(
    "header", [None, "", "reader", "Basic reader", "Bearer", "Bearer guess", "Bearer reader x"]
)
def test_without_a_key_of_ours_nothing_but_the_open_pages_is_shown(header: str | None) -> None:
    LOCKED.admit("GET", "/healthz", header)
    with pytest.raises(NotAuthenticated):
        LOCKED.admit("GET", "/api/v1/models", header)


@given(st.text())
def test_no_other_text_opens_the_door(key: str) -> None:
    known = {"reader": Role.READ, "operator": Role.CONTROL}
    assert LOCKED.keys is not None
    assert LOCKED.keys.role(key.encode("utf-8", "replace").decode()) == known.get(key)


def test_a_minted_key_opens_and_is_not_in_its_file(tmp_path: Path) -> None:
    minted = keys.mint(tmp_path / "gateway" / "keys.jsonl")
    assert minted is not None
    assert keys.read(minted.file).role(minted.key) is Role.ADMIN
    assert minted.key.encode() not in minted.file.read_bytes()
    assert minted.file.stat().st_mode & 0o777 == 0o600


def test_a_key_is_minted_once(tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    assert keys.mint(path) is not None
    assert keys.mint(path) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "[]",
        '{"role":"read"}',
        '{"role":"king","sha256":"' + "0" * 64 + '"}',
        '{"role":"read","sha256":"abcd"}',
        '{"role":"read","sha256":"' + "z" * 64 + '"}',
    ],
)
def test_a_keys_file_that_is_wrong_is_refused_with_its_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InvalidSetting, match="GATEWAY_KEYS_FILE"):
        keys.read(path)


def settings(**values: str) -> Settings:
    return Settings.read(Environment({"NATS_URL": "nats://127.0.0.1:1", **values}))


def test_without_keys_only_this_machine_is_served() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        assert settings(GATEWAY_HOST=host).keys_file is None
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org"):
        with pytest.raises(InvalidSetting, match="GATEWAY_KEYS_FILE=auto"):
            settings(GATEWAY_HOST=host)
        assert settings(GATEWAY_HOST=host, GATEWAY_KEYS_FILE="auto").mint_keys


@pytest.mark.parametrize("origins", ["desk.example", "ftp://x", "https://x/path", "*"])
def test_an_origin_that_browsers_never_send_is_refused(origins: str) -> None:
    with pytest.raises(InvalidSetting, match="ALLOWED_ORIGINS"):
        settings(ALLOWED_ORIGINS=origins)


def test_origins_are_kept_as_browsers_send_them() -> None:
    assert settings(ALLOWED_ORIGINS="https://A.example/, http://b:81").origins == {
        "https://a.example",
        "http://b:81",
    }
