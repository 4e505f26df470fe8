"""The command `devbox-proxy`."""

import gc
from pathlib import Path

import click

from devbox_common import log
from devbox_common.process import keep_memory_private, raise_open_files


@click.group()
def main() -> None:
    """The gateway of devbox-gateway."""


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default="/etc/devbox-gateway/config/proxy.yaml",
    show_default=True,
    help="The settings file.",
)
@click.option("--log-level", type=click.Choice(log.LEVELS), default="info", show_default=True)
def run(config: Path, log_level: log.Level) -> None:
    """Serve devboxes until SIGTERM."""
    log.configure("gateway", log_level)
    try:
        keep_memory_private()  # before any key is read
        files = raise_open_files()
    except OSError as error:
        click.echo(f"devbox-proxy: {error}", err=True)
        raise SystemExit(2) from None
    # What is imported and made at the start stays: the collector would look at it again and again (a tenth of the start).
    gc.disable()
    from devbox_common.access import NoAccess  # noqa: PLC0415 (after the collector is off)
    from devbox_common.settings import SettingsError, load  # noqa: PLC0415
    from devbox_proxy.run import run as serve  # noqa: PLC0415
    from devbox_proxy.settings import Settings  # noqa: PLC0415

    try:
        serve(load(Settings, config), files)
    except (SettingsError, NoAccess, ValueError, OSError) as error:
        click.echo(f"devbox-proxy: {error}", err=True)
        raise SystemExit(2) from None


@main.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed  # noqa: PLC0415 (slow, and for this alone)

    click.echo(installed("devbox-gateway-server"))


if __name__ == "__main__":
    main()
