"""The command `devbox-operator`."""

from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from devbox_common import log
from devbox_common.settings import SettingsError, load

from .run import run as run_operator
from .settings import Settings

app = typer.Typer(help="Turns Devboxes and GatewayConfigs into pods that use APIs without their keys.", no_args_is_help=True)


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The settings: a YAML file (the chart's ConfigMap devbox-operator).")],
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the operator until SIGTERM. In a pod it uses its service account, elsewhere $KUBECONFIG."""
    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("write debug, info, warning or error", param_hint="--log-level")
    log.configure("operator", log_level)  # type: ignore[arg-type]
    try:
        settings = load(Settings, config)
        raise typer.Exit(uvloop.run(run_operator(settings)))
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("devbox-gateway"))


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
