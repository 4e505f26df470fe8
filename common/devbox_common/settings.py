"""Settings: one YAML file, checked by a pydantic model, with an error that says where and what.

Called once at start by both commands.
"""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel


class SettingsModel(BaseModel):
    """Base of all settings: camelCase in the file, frozen, and unknown fields refused (a typo must not be a default)."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class SettingsError(Exception):
    """The settings file can't be used; the text says which field and why."""


S = TypeVar("S", bound=SettingsModel)


def load(model: type[S], path: Path) -> S:
    """Read `path` into `model`. Raises `SettingsError`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; name the settings file with --config") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not YAML: {error}") from None
    try:
        return model.model_validate(content or {})
    except ValidationError as error:
        lines = (f"{path}: {'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg']}" for item in error.errors())
        raise SettingsError("\n".join(lines)) from None
