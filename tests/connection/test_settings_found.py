"""Where endpoint and token are found, and which are never combined."""

import copy
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from cavatica_upload import connect
from cavatica_upload.config import CAVATICA, PLATFORMS, find_settings, is_loopback, normal_endpoint, read_rest
from cavatica_upload.destination import Destination
from cavatica_upload.errors import ConfigError, UsageError

CGC = PLATFORMS["cgc"]
CREDENTIALS = f"""
# written by the platform's own tools
[default]
api_endpoint = {CAVATICA}
auth_token = tokendefault ; for work

[cgc]
api_endpoint = https://cgc-api.sbgenomics.com/v2/
auth_token = token%cgc
advance_access = true
key_without_value

[bare]
auth_token = tokenbare

[empty]
api_endpoint = {CAVATICA}
auth_token =
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".sevenbridges"
    folder.mkdir()
    (folder / "credentials").write_text(CREDENTIALS, encoding="utf-8")
    return tmp_path


ENVIRONMENT = {"SB_AUTH_TOKEN": "tokenenv", "SB_API_ENDPOINT": CGC}


@pytest.mark.parametrize(
    ("given", "environ", "token", "endpoint"),
    [
        ({"token": "t"}, {}, "t", CAVATICA),
        ({"token": "t", "endpoint": "eu"}, ENVIRONMENT, "t", PLATFORMS["eu"]),
        ({"token": "t"}, ENVIRONMENT, "t", CGC),
        ({}, ENVIRONMENT, "tokenenv", CGC),
        ({}, {"SB_AUTH_TOKEN": "tokenenv"}, "tokenenv", CAVATICA),
        ({"endpoint": "cgc"}, {"SB_AUTH_TOKEN": "tokenenv"}, "tokenenv", CGC),
        ({}, {"SB_AUTH_TOKEN": "", "SB_API_ENDPOINT": ""}, "tokendefault", CAVATICA),
        ({}, {}, "tokendefault", CAVATICA),
        ({"profile": "cgc"}, {}, "token%cgc", CGC),
        ({"profile": "cgc"}, {"SB_AUTH_TOKEN": "other", "SB_API_ENDPOINT": "eu"}, "token%cgc", CGC),
        ({"profile": "cgc", "token": "t"}, {}, "t", CGC),
        ({"profile": "bare", "endpoint": "us"}, {}, "tokenbare", PLATFORMS["us"]),
        ({}, {"SB_API_ENDPOINT": "cavatica"}, "tokendefault", CAVATICA),
    ],
)
def test_found(given: dict[str, Any], environ: dict[str, str], token: str, endpoint: str, home: Path) -> None:
    """Arguments take precedence over the environment, and that over the profile; an explicit profile is used whole."""
    settings = find_settings(**given, environ=environ, home=home)
    assert (settings.token, settings.endpoint) == (token, endpoint)


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        ({}, {"SB_API_ENDPOINT": "cgc"}),
        ({"endpoint": "cgc"}, {}),
        ({"profile": "cgc", "endpoint": "cavatica"}, {}),
        ({"endpoint": "cavatica"}, ENVIRONMENT),
        ({"profile": "cgc", "endpoint": "http://127.0.0.1:8080/v2"}, {}),
    ],
)
def test_token_stays_with_its_host(given: dict[str, Any], environ: dict[str, str], home: Path) -> None:
    """A token found with one host is not sent to another, and the message does not show it."""
    with pytest.raises(ConfigError, match="is for https://") as caught:
        find_settings(**given, environ=environ, home=home)
    assert "token%cgc" not in repr(caught.value.__dict__)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile": "nobody"}, "no profile nobody"),
        ({"profile": "bare"}, "no api_endpoint"),
        ({"profile": "empty"}, "no auth_token"),
        ({"token": "to ken"}, "white space"),
        ({"token": "token\n"}, "white space"),
        ({"token": "token\r\nX-Evil: 1"}, "white space"),
        ({"token": "tök€n"}, "characters that no token has"),
        ({"token": "tok\x00en"}, "characters that no token has"),
        ({"token": ""}, "is empty"),
        ({"token": "t", "endpoint": "cavatic"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://"}, "neither a URL"),
        ({"token": "t", "endpoint": "ftp://host/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://user:pass@host/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://host:99999/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://host/v2?x=1"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://host/../v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://host:0/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": f"https://{'a' * 70}.example/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://a..example/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://[::1/v2"}, "neither a URL"),
        ({"token": "t", "endpoint": "https://ho\udc80st/v2"}, "neither a URL"),
        ({"token": "tok\udc80en"}, "characters that no token has"),
        ({"token": "t", "endpoint": "http://cavatica-api.sbgenomics.com/v2"}, "unencrypted"),
    ],
)
def test_refused(given: dict[str, Any], words: str, home: Path) -> None:
    """A wrong value is one sentence and a hint, without token and password."""
    with pytest.raises(ConfigError, match=words) as caught:
        find_settings(**given, environ={}, home=home)
    shown = caught.value.message + str(caught.value.hint)
    assert "pass" not in shown
    assert given.get("token", "") in ("", "t") or given["token"] not in shown


def test_nothing_found(tmp_path: Path) -> None:
    """Without any token the message says how to give one."""
    with pytest.raises(ConfigError, match="No token") as caught:
        find_settings(environ={}, home=tmp_path)
    assert "SB_AUTH_TOKEN" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content", ["no section here tokenabc\n", "[default\nauth_token = tokenabc\n", b"\xff\xfe\x00tokenabc"]
)
def test_broken_file_not_shown(content: str | bytes, home: Path) -> None:
    """The error about a broken credentials file names the file, and shows no line of it."""
    path = home / ".sevenbridges" / "credentials"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match="not an INI file") as caught:
        find_settings(environ={}, home=home)
    assert "tokenabc" not in repr((caught.value, caught.value.__dict__, caught.value.__cause__))


def test_directory_in_its_place(tmp_path: Path) -> None:
    """A credentials file that cannot be opened is an error of one sentence."""
    (tmp_path / ".sevenbridges" / "credentials").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_settings(environ={}, home=tmp_path)


def test_cavatica_profile_without_default(home: Path) -> None:
    """Without a default profile, the one named cavatica is used."""
    path = home / ".sevenbridges" / "credentials"
    path.write_text(f"[cavatica]\napi_endpoint={CAVATICA}\nauth_token=tokencav\n", encoding="utf-8-sig")
    assert find_settings(environ={}, home=home).source.startswith("profile cavatica ")


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_as_editors_write_them(quote: str, encoding: str, home: Path) -> None:
    """Quotes around values and byte order marks are not part of a token or an endpoint."""
    path = home / ".sevenbridges" / "credentials"
    path.write_text(
        f"[default]\nauth_token = {quote}tokenquoted{quote}\napi_endpoint = {quote}{CGC}{quote}\n", encoding=encoding
    )
    found = find_settings(environ={}, home=home)
    assert (found.token, found.endpoint) == ("tokenquoted", CGC)
    assert find_settings(environ={"SB_AUTH_TOKEN": f"{quote}tokenquoted{quote}"}, home=home).token == "tokenquoted"


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
@pytest.mark.parametrize(("mode", "noticed"), [(0o600, False), (0o400, False), (0o666, True), (0o644, True)])
def test_credentials_that_others_can_read(mode: int, noticed: bool, home: Path) -> None:
    """A credentials file that other users can read or change is used, with a message that has the command to correct
    it.
    """
    path = home / ".sevenbridges" / "credentials"
    path.chmod(mode)
    found = find_settings(environ={}, home=home)
    assert found.token == "tokendefault"
    assert [f"chmod 600 {path}" in notice for notice in found.notices] == [True] * noticed
    assert find_settings("t", environ={}, home=home).notices == ()


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home directory a token of the environment is used, and without one a sentence says so."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda _: {}["no such user"])
    assert find_settings(environ={"SB_AUTH_TOKEN": "tokenenv"}).token == "tokenenv"
    for profile in (None, "cgc"):
        with pytest.raises(ConfigError, match="home directory") as caught:
            find_settings(profile=profile, environ={})
        assert "SB_AUTH_TOKEN" in str(caught.value.hint)


@pytest.mark.parametrize("wrong", ["cavatic", "http://elsewhere.example/v2"])
def test_a_malformed_endpoint_is_wrong_usage(wrong: str) -> None:
    """A malformed endpoint is a UsageError, wherever it was found."""
    for given, environ in (({"endpoint": wrong}, {}), ({}, {"SB_API_ENDPOINT": wrong})):
        with pytest.raises(UsageError) as caught:
            find_settings("t", **given, environ=environ)  # type: ignore[arg-type]
        assert isinstance(caught.value, ConfigError)


def test_token_not_in_repr(home: Path) -> None:
    """Settings show no token, and cannot be pickled or copied."""
    found = find_settings(environ={}, home=home)
    assert "tokendefault" not in repr(found)
    for again in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="find them again"):
            again(found)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("CGC", CGC),
        ("https://CAVATICA-api.sbgenomics.com", CAVATICA),
        ("https://cavatica-api.sbgenomics.com:443/v2/", CAVATICA),
        ("http://localhost:8080/v2", "http://localhost:8080/v2"),
        ("http://[::1]:8080/v2/", "http://[::1]:8080/v2"),
        ("http://127.9.9.9", "http://127.9.9.9/v2"),
    ],
)
def test_normal_endpoint(text: str, normal: str) -> None:
    """Short names, upper case, default ports and trailing slashes give the same base URL."""
    assert normal_endpoint(text) == normal


@pytest.mark.parametrize(
    "host", ["127.0.0.1%2eevil.example", "127.0.0.1%25x", "localhost%2e", "a<b", 'a"b', "*", "a,b", "[::1]x", "[v1.x]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_impossible_hosts_are_refused(scheme: str, host: str) -> None:
    """An impossible host is refused, even if it starts with a loopback address."""
    with pytest.raises(UsageError, match="neither a URL"):
        normal_endpoint(f"{scheme}://{host}/v2")
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host", ["[::1]", "[::1]:8080", "[::ffff:127.0.0.1]", "127.8.8.8", "localhost.", "a.localhost"]
)
def test_this_machine(host: str) -> None:
    """The local machine is recognised by all its loopback names and addresses."""
    assert normal_endpoint(f"http://{host}/v2") == f"http://{host}/v2"


def test_profile_names_are_shown_on_one_line(home: Path) -> None:
    """Control characters in a profile's name are not printed."""
    path = home / ".sevenbridges" / "credentials"
    path.write_text("[wo\x1b[2Jrk]\nauth_token = t\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no profile") as caught:
        find_settings(profile="a\nb\x1b[1m", environ={}, home=home)
    assert f"{caught.value.message}{caught.value.hint}".isprintable()


def test_http_when_allowed() -> None:
    """Plain HTTP to another machine is possible with allow_http."""
    assert normal_endpoint("http://mock:8080/v2", allow_http=True) == "http://mock:8080/v2"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"project": "a/b", "parent": "c"},
        {"project": "a"},
        {"project": "a/b/c"},
        {"project": "a/.."},
        {"project": ""},
        {"project": "a/b c"},
        {"parent": ""},
        {"parent": "../x"},
        {"parent": "a/b"},
    ],
)
def test_destination_is_one_of_two(wrong: dict[str, str]) -> None:
    """A destination is a valid project or a valid folder ID."""
    with pytest.raises(UsageError):
        Destination(**wrong)


def test_a_small_text_needs_no_memory_for_the_largest() -> None:
    """A text is read in pieces: a read of up to 256 MiB would allocate all of it."""
    wanted = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            wanted.append(size)
            return super().read(size)

    content = b"a line\n" * 1_000_000
    assert read_rest(File(content)) == content
    assert all(size is not None and 0 < size <= 2**23 for size in wanted)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("token", "endpoint", "profile") for value in (5, b"secret", ["a"], True)),
        *(
            (name, value)
            for name in ("timeout", "attempts", "deadline", "retry_for")
            for value in ("5", [], True, -1, float("nan"), 10**400)
        ),
        ("rate_limiter", 5),
        ("on_event", 5),
        ("cancel", 5),
        ("allow_http", "no"),
        ("timing", []),
    ],
)
def test_an_argument_of_another_type_is_one_sentence(name: str, value: object) -> None:
    """With an argument of a wrong type `connect` says what it needs, and shows no token."""
    given: dict[str, Any] = {"token": "t", "endpoint": "http://127.0.0.1:9/v2", name: value}
    with pytest.raises(UsageError) as caught:
        connect(**given)
    assert name in str(caught.value)
    assert "secret" not in str(caught.value)
