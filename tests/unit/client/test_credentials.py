"""Who we are for the API server: certificates, tokens, files, programs, an identity provider."""

import asyncio
import base64
import json
import pickle
import ssl
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from tests.support.tls_site import tls_site

from devbox_cluster import pki
from devbox_gateway.errors import AuthenticationError
from devbox_gateway.kube import credentials as module
from devbox_gateway.kube.credentials import Credentials, Static, TokenFile, impersonation
from devbox_gateway.kube.exec_plugin import ExecPlugin
from devbox_gateway.kube.oidc import Oidc
from devbox_gateway.kube.secrecy import Hidden

V1 = "client.authentication.k8s.io/v1"


def authorization(found: Credentials) -> str | None:
    return None if found.authorization is None else found.authorization.value


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({}, None),
        ({"token": "abc"}, "Bearer abc"),
        ({"username": "me", "password": "pass"}, f"Basic {base64.b64encode(b'me:pass').decode()}"),
        ({"token": "abc", "username": "me"}, "Bearer abc"),
    ],
)
async def test_what_stands_in_the_file(user: dict[str, str], expected: str | None) -> None:
    assert authorization(await Static(user).get()) == expected


def test_nothing_prints_itself() -> None:
    found = Credentials.bearer("a-secret-token", key=Hidden(b"a-secret-key"), certificate=b"x")
    assert "secret" not in f"{found} {found!r} {found.authorization} {found.key!s}"
    with pytest.raises(TypeError):
        pickle.dumps(found)


def test_a_certificate_without_its_key() -> None:
    with pytest.raises(AuthenticationError, match="has no client-key"):
        Static({"client-certificate-data": base64.b64encode(b"x").decode()})


def test_data_that_is_not_base64() -> None:
    with pytest.raises(AuthenticationError, match="not base64"):
        Static({"client-certificate-data": "%%%"})


async def test_a_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "token").write_text("first\n")
    source = TokenFile(path)
    assert authorization(await source.get()) == "Bearer first"
    path.write_text("second")
    assert authorization(await source.get()) == "Bearer first"
    assert authorization(await source.get(renew=True)) == "Bearer second"
    path.write_text("third")
    monkeypatch.setattr(module, "FILE_SECONDS", -1.0)
    assert authorization(await source.get()) == "Bearer third"
    path.unlink()
    assert authorization(await source.get()) == "Bearer third"  # (it is being replaced)


async def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationError, match="can't be read"):
        await TokenFile(tmp_path / "nope").get()


def test_impersonation() -> None:
    user = {"as": "jane", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"scopes": ["x"]}}
    assert impersonation(user) == [
        ("Impersonate-User", "jane"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-scopes", "x"),
    ]


class Plugin:
    """A program of a user's: it writes down how it was called, and prints what `answer` holds."""

    def __init__(self, folder: Path) -> None:
        self.calls, self.answer, self.path = folder / "calls", folder / "answer", folder / "plugin"
        self.path.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(self.calls)!r}, 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + '\\n')\n"
            f"sys.stdout.write(open({str(self.answer)!r}).read())\nsys.exit(int(os.environ.get('ENDS', '0')))\n"
        )
        self.path.chmod(0o700)

    def says(self, **status: Any) -> None:
        self.answer.write_text(json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}))

    def source(self, cluster: dict[str, Any] | None = None, **entry: Any) -> ExecPlugin:
        entry = {"apiVersion": V1, "command": str(self.path), "interactiveMode": "Never", **entry}
        return ExecPlugin({"exec": entry}, cluster or {})

    @property
    def infos(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


async def test_a_program_is_asked_once(plugin: Plugin) -> None:
    plugin.says(token="one")
    source = plugin.source()
    assert {authorization(found) for found in await asyncio.gather(*(source.get() for _ in range(5)))} == {"Bearer one"}
    assert [info["spec"] for info in plugin.infos] == [{"interactive": False}]


async def test_a_program_is_asked_again_once_its_token_was_refused_or_ended(plugin: Plugin) -> None:
    plugin.says(token="one", expirationTimestamp="2020-01-01T00:00:00Z")
    source = plugin.source()
    await source.get()
    plugin.says(token="two", expirationTimestamp="2999-01-01T00:00:00Z")
    assert authorization(await source.get()) == "Bearer two"
    await source.get()
    assert len(plugin.infos) == 2
    plugin.says(token="three")
    # Two requests that were refused at the same time ask once.
    assert {authorization(found) for found in await asyncio.gather(source.get(renew=True), source.get(renew=True))} == {
        "Bearer three"
    }
    assert len(plugin.infos) == 3


async def test_a_program_gives_a_certificate(plugin: Plugin) -> None:
    plugin.says(clientCertificateData="CERT", clientKeyData="KEY")
    found = await plugin.source().get()
    assert (found.authorization, found.certificate, found.key) == (None, b"CERT", Hidden(b"KEY"))


async def test_a_program_is_told_of_the_cluster(plugin: Plugin) -> None:
    plugin.says(token="one")
    cluster = {
        "server": "https://api.example:6443",
        "certificate-authority-data": base64.b64encode(b"ROOTS").decode(),
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    await plugin.source(cluster, provideClusterInfo=True).get()
    (info,) = plugin.infos
    assert info["spec"]["cluster"] == {
        "server": "https://api.example:6443",
        "certificate-authority-data": base64.b64encode(b"ROOTS").decode(),
        "config": {"audience": "x"},
    }


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "/nope/login", "installHint": "brew install login"}, "not installed: brew install login"),
        ({"env": [{"name": "ENDS", "value": "3"}]}, "ended with 3"),
        ({"interactiveMode": "Always"}, "wants to ask at a terminal"),
    ],
)
async def test_a_program_that_fails(entry: dict[str, Any], words: str, plugin: Plugin) -> None:
    plugin.says(token="one")
    with pytest.raises(AuthenticationError, match=words):
        await plugin.source(**entry).get()


@pytest.mark.parametrize(
    "printed", ["", "[]", "sk-secret", '{"status": {"token": "sk-secret"}}', '{"kind": "ExecCredential", "status": 3}']
)
async def test_a_program_that_prints_something_else(printed: str, plugin: Plugin) -> None:
    plugin.answer.write_text(printed)
    with pytest.raises(AuthenticationError) as caught:
        await plugin.source().get()
    assert "sk-secret" not in str(caught.value)


def test_an_old_program() -> None:
    with pytest.raises(AuthenticationError, match="v1alpha1"):
        ExecPlugin({"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, {})


def jwt(expires: float, name: str = "x") -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": expires, "name": name}).encode()).rstrip(b"=").decode()
    return f"e30.{payload}.sig"


@asynccontextmanager
async def provider(folder: Path, answers: dict[str, Any]) -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """An identity provider over TLS; what it was asked."""
    asked: list[dict[str, str]] = []

    async def discover(request: web.Request) -> web.Response:
        return web.json_response({"token_endpoint": f"{request.url.origin()}/token"})

    async def token(request: web.Request) -> web.Response:
        asked.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response(answers, status=answers.get("status", 200))

    app = web.Application()
    app.add_routes([web.get("/.well-known/openid-configuration", discover), web.post("/token", token)])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "apiserver.crt", folder / "apiserver.key")
    async with tls_site(web.AppRunner(app), "127.0.0.1", tls) as port:
        yield f"https://127.0.0.1:{port}", asked


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki.ensure(folder)
    return folder


def oidc_file(folder: Path, authority: Path, **config: str) -> Path:
    user = {
        "auth-provider": {
            "name": "oidc",
            "config": {"idp-certificate-authority": str(authority / "ca.crt"), "client-id": "me", **config},
        }
    }
    (path := folder / "kubeconfig").write_text(
        yaml.safe_dump({"users": [{"name": "other", "user": {}}, {"name": "me", "user": user}]})
    )
    path.chmod(0o600)
    return path


def oidc(path: Path) -> Oidc:
    user = next(item["user"] for item in yaml.safe_load(path.read_text())["users"] if item["name"] == "me")
    return Oidc("me", user, path)


async def test_an_id_token_that_holds_is_used(tmp_path: Path, authority: Path) -> None:
    token = jwt(time.time() + 3600)
    assert authorization(await oidc(oidc_file(tmp_path, authority, **{"id-token": token})).get()) == f"Bearer {token}"


async def test_one_that_ended_is_renewed_and_written_back(tmp_path: Path, authority: Path) -> None:
    new = jwt(time.time() + 3600, "new")
    async with provider(authority, {"id_token": new, "refresh_token": "second"}) as (url, asked):
        path = oidc_file(
            tmp_path, authority, **{"id-token": jwt(1), "refresh-token": "first", "idp-issuer-url": url, "client-secret": "shh"}
        )
        source = oidc(path)
        assert {authorization(found) for found in await asyncio.gather(source.get(), source.get())} == {f"Bearer {new}"}
    assert asked == [{"grant_type": "refresh_token", "refresh_token": "first", "client_id": "me", "client_secret": "shh"}]
    kept = yaml.safe_load(path.read_text())["users"]
    assert kept[0] == {"name": "other", "user": {}}
    written = kept[1]["user"]["auth-provider"]["config"]
    assert (written["id-token"], written["refresh-token"], written["client-secret"]) == (new, "second", "shh")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["kubeconfig"]  # noqa: ASYNC240 (a folder of the test)


async def test_a_provider_that_refuses(tmp_path: Path, authority: Path) -> None:
    async with provider(authority, {"status": 400, "error": "invalid_grant"}) as (url, _):
        source = oidc(oidc_file(tmp_path, authority, **{"refresh-token": "rt-secret", "idp-issuer-url": url}))
        with pytest.raises(AuthenticationError, match=r"400.*log in again") as caught:
            await source.get()
        assert "rt-secret" not in str(caught.value)


async def test_without_a_refresh_token(tmp_path: Path, authority: Path) -> None:
    with pytest.raises(AuthenticationError, match="refresh-token is not there"):
        await oidc(oidc_file(tmp_path, authority, **{"id-token": jwt(1)})).get()
