"""The command `devbox-operator`."""

import asyncio
from importlib.metadata import version as installed_version
from pathlib import Path

import click

from devbox_common import log
from devbox_common.access import NoAccess
from devbox_common.process import keep_memory_private, raise_open_files
from devbox_common.settings import SettingsError, load
from devbox_operator.run import run as run_operator
from devbox_operator.settings import Settings


@click.group()
def main() -> None:
    """Turns Devboxes and GatewayConfigs into pods that use APIs without their keys."""


@main.command()
@click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="The settings: a YAML file (the chart's ConfigMap)."
)
@click.option("--log-level", type=click.Choice(log.LEVELS), default="info", show_default=True)
def run(config: Path, log_level: log.Level) -> None:
    """Run the operator until SIGTERM. In a pod it uses its service account, elsewhere $KUBECONFIG."""
    log.configure("operator", log_level)
    try:
        keep_memory_private()  # before any key is read
        files = raise_open_files()
        settings = load(Settings, config)
        # (Not uvloop: it sends what is written at the end of its round, when the Lease may be somebody else's.)
        raise SystemExit(asyncio.run(run_operator(settings, files)))
    except (SettingsError, NoAccess, OSError) as error:
        click.echo(f"devbox-operator: {error}", err=True)
        raise SystemExit(2) from None


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(installed_version("devbox-gateway-server"))


if __name__ == "__main__":
    main()
