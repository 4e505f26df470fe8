"""Whatever is given to a call, in whichever place: an error of ours says what belongs there, or the server is asked."""

import contextlib
import inspect
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox_gateway import APIConnectionError, AsyncDevboxGateway, DevboxGateway, DevboxGatewayError, InvalidError
from devbox_gateway.kube.session import Session

from .kubeconfigs import KUBECONFIG

WRONG: tuple[Any, ...] = (
    3, -1, True, 1.5, float("nan"), "", "x", "\0", "\ud800", "\x1b[31m", b"\xff", None, [], ["a"], [3], [None], {}, {"a": 1}, {3: None},
    {"type": 3}, {"A": {"gateway": 3}}, {"A": {"gateway": "x", "secret": 3}}, {"timeout_seconds": "x"}, object(), lambda: None,
    io.StringIO("text"),
)  # fmt: skip
RIGHT: dict[str, Any] = {
    "name": "a", "endpoint": "https://api.example", "auth_mechanism": {"type": "bearer"}, "value": "sk-ant", "secret": "a", "id": "a",
    "command": "true", "file_path": "a", "path": "a", "contents": "a", "file": b"a", "text": "a", "hosts": ["a.example"],
    "execution_id": "0123456789abcdef",
}  # fmt: skip
KEPT = {"self", "spec"}
"""`spec` is what the API server judges."""


class Asked(APIConnectionError):
    """It came as far as a request."""


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AsyncDevboxGateway]:
    async def ask(*_: object, **__: object) -> Any:
        raise Asked("a request")

    for name in ("request", "websocket", "list"):
        monkeypatch.setattr(Session, name, ask)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with contextlib.chdir(tmp_path):
        yield AsyncDevboxGateway(kubeconfig=tmp_path / "kubeconfig")


def calls(client: AsyncDevboxGateway) -> Iterator[tuple[str, Any]]:
    devbox = client.devboxes.from_id("a")
    kinds = ("gateway_configs", "secrets", "network_policies", "devboxes")
    collections = [getattr(client, kind) for kind in kinds]
    for one in (*collections, *(made.from_id("a") for made in collections), devbox.cmd, devbox.file,
                *(getattr(client.api, kind) for kind in kinds)):  # fmt: skip
        for name, method in inspect.getmembers(one, inspect.iscoroutinefunction):
            if not name.startswith("_"):
                yield f"{type(one).__name__}.{name}", method


async def test_no_call_fails_raw(client: AsyncDevboxGateway) -> None:
    raw, asked = [], 0
    for name, method in calls(client):
        parameters = [one for one in inspect.signature(method).parameters.values() if one.kind is not one.VAR_POSITIONAL]
        named = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
        needed = {
            one.name: RIGHT[one.name] for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        }
        for parameter in named:
            for wrong in () if parameter in KEPT else WRONG:
                try:
                    await method(**{**needed, parameter: wrong})
                except Asked:
                    asked += 1
                except (DevboxGatewayError, FileNotFoundError):
                    pass
                except Exception as error:
                    raw.append(f"{name}({parameter}={wrong!r}): {type(error).__name__}: {error}")
    assert not raw, "\n".join(raw)
    assert asked > 100


@pytest.mark.parametrize("face", [AsyncDevboxGateway, DevboxGateway])
@pytest.mark.parametrize("name", ["namespace", "context", "kubeconfig"])
@pytest.mark.parametrize("wrong", [3, [], b"x", object()])
def test_no_client_is_made_of_what_is_no_text(face: Any, name: str, wrong: object, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with pytest.raises(InvalidError, match=name):
        face(**{"kubeconfig": tmp_path / "kubeconfig", name: wrong})


@pytest.mark.parametrize("contents", [3, True, [72, 105], None, ["a"], {"a": 1}, 1.5, "\ud800"])
async def test_what_is_written_is_text_or_bytes(client: AsyncDevboxGateway, contents: Any) -> None:
    with pytest.raises(InvalidError, match="contents: "):
        await client.devboxes.from_id("a").file.write(file_path="a", contents=contents)


async def test_a_folder_is_no_file(client: AsyncDevboxGateway, tmp_path: Path) -> None:
    files = client.devboxes.from_id("a").file
    with pytest.raises(InvalidError, match="kubectl devbox cp"):
        await files.upload(path="a", file=tmp_path)
    with pytest.raises(InvalidError, match="is a folder"):
        await files.download_to(path="a", file=tmp_path)
    with (tmp_path / "text").open("w+") as file, pytest.raises(InvalidError, match="rb"):
        await files.upload(path="a", file=file)  # type: ignore[arg-type]


def test_the_synchronous_client_names_its_own_calls(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    with DevboxGateway(kubeconfig=tmp_path / "kubeconfig") as client:
        devbox = client.devboxes.from_id("a")
        with pytest.raises(TypeError, match=r"^Files\.read\(\): .*file_path"):
            devbox.file.read()  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^Commands\.exec\(\): .*colour"):
            devbox.cmd.exec("true", colour="red")  # type: ignore[call-arg]
        assert devbox.file.read.__qualname__ == "Files.read"
        with pytest.raises(InvalidError, match="by name"):
            client.api.secrets.update("MY_KEY", "new")
        with pytest.raises(InvalidError, match="colour"):
            client.api.secrets.update("MY_KEY", value="new", colour="red")
        with pytest.raises(InvalidError, match="restart"):
            client.api.devboxes.update("a", image="b")
