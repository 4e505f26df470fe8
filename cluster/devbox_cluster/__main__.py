"""`python -m devbox_cluster`: the local cluster's command line."""

import json
import os
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from . import binaries, cluster, image_root, images
from . import release as releases
from . import sbom as sboms
from .paths import PROJECT, bin_dir, kubeconfig
from .progress import ClusterError, console

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A local Kubernetes for the demo and the tests.")


@app.command()
def up() -> None:
    """Bring the cluster up and write .cluster/kubeconfig."""
    start = time.monotonic()
    cluster.up()
    use = f"export KUBECONFIG={shlex.quote(str(kubeconfig()))}"
    console.print(f"the cluster is up ({time.monotonic() - start:.1f} s); to use it: {escape(use)}")


@app.command()
def down() -> None:
    """Remove the cluster: processes, mounts, network namespaces, devices and rules."""
    cluster.down()
    console.print("the cluster is gone; what was built stays in the cache")


@app.command()
def status() -> None:
    """Say whether the cluster runs (ends with 1 if not)."""
    healthy = cluster.chosen().healthy()
    console.print("running" if healthy else "not running; start it with: make cluster")
    raise typer.Exit(0 if healthy else 1)


@app.command()
def tools() -> None:
    """Get helm and kubectl."""
    binaries.ensure_tools()


@app.command(name="oldest-helm")
def oldest_helm() -> None:
    """Print the path of the oldest Helm that the chart is for, built if it is not there."""
    typer.echo(binaries.oldest_helm())


@app.command(name="images")
def images_command(
    registry: Annotated[str, typer.Option(help="Where the images belong; localhost means this machine alone.")] = "localhost",
    push: Annotated[bool, typer.Option("--push", help="Push the operator's and gateway's image to the registry.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print name and reference as JSON.")] = False,
) -> None:
    """Build the images; load them into the running cluster, or push them."""
    if push:
        if registry == "localhost":
            raise ClusterError("name a registry to push to, e.g. make images REGISTRY=registry.example.com/team PUSH=1")
        built = images.publish(PROJECT, registry)
    elif registry != "localhost":
        built = images.build_all(PROJECT, registry)
    else:
        built = images.ensure(PROJECT, [image.name for image in images.IMAGES if image.name not in images.ASKED_FOR])
    typer.echo(json.dumps(built) if as_json else "\n".join(built.values()))


@app.command(name="image-root")
def image_root_command() -> None:
    """Build the gateway's image, if it changed, and print the folder that holds its files, for tests to run it from."""
    typer.echo(str(image_root.folder()))


@app.command()
def sbom(
    target: Annotated[Path, typer.Argument(help="The file, SPDX as JSON.")] = PROJECT / "dist" / "devbox-gateway.spdx.json",
    reference: Annotated[str | None, typer.Option(help="An image that Docker has, in place of the work tree's.")] = None,
    other: Annotated[
        bool, typer.Option("--other", help="It is not the gateway's image: look for nothing in the list.")
    ] = False,
) -> None:
    """Write the list of what is inside the gateway's image (SBOM)."""
    count = sboms.write(target, reference=reference, whole=not other)
    console.print(f"{escape(str(target))}: {count} packages")


@app.command()
def release(version: str) -> None:
    """Check that the work tree is what VERSION is to be, and print what its changelog says of it."""
    typer.echo(releases.notes(PROJECT, version))


@app.command()
def env() -> None:
    """Print shell lines that make kubectl and helm use the cluster: eval "$(python -m devbox_cluster env)"."""
    for name, value in (("KUBECONFIG", str(kubeconfig())), ("PATH", f"{bin_dir()}:{os.environ.get('PATH', '')}")):
        typer.echo(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Run a command; what the user can mend is one message, not a traceback."""
    os.environ["PATH"] = f"{bin_dir()}:{os.environ.get('PATH', '')}"
    try:
        app()
    except ClusterError as error:
        console.print(f"[red]error:[/] {escape(str(error))}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
