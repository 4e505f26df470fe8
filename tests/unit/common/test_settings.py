"""A mistake in a settings file is an error that says where."""

from pathlib import Path

import pytest

from devbox_common.settings import SettingsError, SettingsModel, load


class Listen(SettingsModel):
    data_port: int = 8443


class Example(SettingsModel):
    listen: Listen = Listen()


def test_camel_case_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("listen: {dataPort: 1}")
    assert load(Example, path).listen.data_port == 1


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("")
    assert load(Example, path) == Example()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("listen: {port: 1}", "listen.port: Extra inputs are not permitted"),
        ("listen: {dataPort: many}", "listen.dataPort: Input should be a valid integer"),
        ("- 1", r"\(file\): Input should be a valid dictionary"),
        ("listen: {", "not YAML"),
    ],
)
def test_a_mistake_names_the_field(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match=message):
        load(Example, path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory; name the settings file with --config"):
        load(Example, tmp_path / "absent.yaml")
