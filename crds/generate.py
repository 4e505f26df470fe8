"""Write the CustomResourceDefinitions and docs/conditions.md from the models, or say that the files differ from them.

`python crds/generate.py` writes crds/*.yaml, the chart's copies and the page; `--check` changes nothing and ends with 1 where a file is
not what the models say.
"""

import sys
from pathlib import Path

import yaml

import conditions_page
from devbox_api import devbox, egresspolicy, gatewayconfig, names
from devbox_api.schema import Schema, crd

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (ROOT / "crds", ROOT / "charts" / "devbox-gateway" / "files" / "crds")
PAGE = ROOT / "docs" / "conditions.md"


class _Dumper(yaml.SafeDumper):
    """Without anchors: shared parts are written out, as people and kubectl expect."""

    def ignore_aliases(self, data: object) -> bool:
        return True


HEADER = "# Generated from crds/devbox_api by `make manifests`. Edit the models, not this file.\n"


def manifests() -> dict[str, str]:
    """File name → content."""
    kinds = (gatewayconfig.KIND, egresspolicy.KIND, devbox.KIND)
    return {f"{names.GROUP}_{kind.plural}.yaml": HEADER + _dump(crd(kind)) for kind in kinds}


def _dump(manifest: Schema) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    """Write, or with `--check` compare."""
    check = sys.argv[1:] == ["--check"]
    wanted = {folder / name: text for folder in TARGETS for name, text in manifests().items()}
    wanted[PAGE] = conditions_page.page()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} differs from the models; run `make manifests`\n")
        return 1
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
