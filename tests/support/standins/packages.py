"""One small package for each registry, made by that ecosystem's own tools where they are at hand.

Goes in: an empty folder. Comes out: wheel and sdist, an npm package's folder, a crate with its sparse index, a Go module proxy's files, a
bare git repository. Run once, at the start of the pod's program.
"""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .hosts import CRATES, GREETING, MODULE, PACKAGE, VERSION


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Text files by their paths in a folder, which is made."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def run(*command: str, cwd: Path) -> None:
    """To its end; what it prints is shown where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def python(folder: Path) -> Path:
    """A folder with a wheel and an sdist; uv builds them by itself."""
    name = PACKAGE.replace("-", "_")
    about = f'[project]\nname = "{PACKAGE}"\nversion = "{VERSION}"\nrequires-python = ">=3.9"\n'
    backend = '[build-system]\nrequires = ["uv_build"]\nbuild-backend = "uv_build"\n'
    source = write(
        folder / "source", {"pyproject.toml": about + backend, f"src/{name}/__init__.py": f'GREETING = "{GREETING}"\n'}
    )
    run("uv", "build", "--offline", "--preview", "--out-dir", str(folder / "dist"), cwd=source)
    return folder / "dist"


def node(folder: Path) -> Path:
    """A folder that npm publishes."""
    about = {"name": PACKAGE, "version": VERSION, "main": "index.js", "license": "MIT"}
    return write(folder, {"package.json": json.dumps(about), "index.js": f'module.exports = "{GREETING}";\n'})


def crates(folder: Path) -> Path:
    """The files of a sparse registry with a crate that cargo packed."""
    about = (
        f'[package]\nname = "{PACKAGE}"\nversion = "{VERSION}"\nedition = "2021"\nlicense = "MIT"\ndescription = "{GREETING}"\n'
    )
    source = write(folder / "source", {"Cargo.toml": about, "src/lib.rs": f'pub const GREETING: &str = "{GREETING}";\n'})
    run("cargo", "package", "--offline", "--no-verify", "--allow-dirty", "--quiet", cwd=source)
    packed = source / "target" / "package" / f"{PACKAGE}-{VERSION}.crate"
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    line = {"name": PACKAGE, "vers": VERSION, "deps": [], "cksum": digest, "features": {}, "yanked": False}
    files = write(
        folder / "files",
        {
            "config.json": json.dumps({"dl": f"https://{CRATES}/crates/{{crate}}/{{version}}.crate"}),
            f"{PACKAGE[:2]}/{PACKAGE[2:4]}/{PACKAGE}": json.dumps(line) + "\n",
        },
    )
    (files / "crates" / PACKAGE).mkdir(parents=True)
    shutil.copy(packed, files / "crates" / PACKAGE / f"{VERSION}.crate")
    return files


def go(folder: Path) -> Path:
    """The files of a module proxy: its protocol is these names."""
    version, mod = f"v{VERSION}", f"module {MODULE}\n\ngo 1.19\n"
    about = json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"})
    prefix = f"{MODULE}/@v"
    names = {"list": f"{version}\n", f"{version}.info": about, f"{version}.mod": mod}
    write(folder, {**{f"{prefix}/{name}": text for name, text in names.items()}, f"{MODULE}/@latest": about})
    with zipfile.ZipFile(folder / prefix / f"{version}.zip", "w") as packed:
        packed.writestr(f"{MODULE}@{version}/go.mod", mod)
        packed.writestr(f"{MODULE}@{version}/greeting.go", f'package greeting\n\nconst Text = "{GREETING}"\n')
    return folder


def git(folder: Path) -> Path:
    """A folder with one bare repository, of some MiB."""
    work = write(folder / "work", {"README": GREETING})
    (work / "data.bin").write_bytes(os.urandom(3 << 20))
    run("git", "init", "-q", "-b", "main", cwd=work)
    run("git", "add", ".", cwd=work)
    run("git", "-c", "user.name=a", "-c", "user.email=a@devbox.test", "commit", "-qm", "first", cwd=work)
    bare = folder / "bare" / f"{PACKAGE}.git"
    run("git", "clone", "-q", "--bare", str(work), str(bare), cwd=work)
    return bare.parent
