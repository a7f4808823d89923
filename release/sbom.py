"""Write what a wheel brings with it: python release/sbom.py dist/NAME.whl.

cyclonedx-py describes the whole environment; what the wheel does not need, such as
tools for tests, is left out. The bill lies beside the wheel.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the bill of the wheel that is named."""
    wheel = Path(sys.argv[1])
    bill = kept(described(), with_all_below(needed_by(wheel)))
    target = wheel.with_suffix(".cdx.json")
    target.write_text(json.dumps(bill, indent=1), encoding="utf-8")
    print(f"{target}: {len(bill['components'])} packages")


def needed_by(wheel: Path) -> set[str]:
    """Return the names of what everybody who installs a wheel has to install."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    return {name for name, _ in needs(metadata.get_all("Requires-Dist", []), set())}


def needs(wanted: list[str], extras: set[str]) -> set[tuple[str, frozenset[str]]]:
    """Return the requirements that hold here: names, and extras of each."""
    return {
        (canonicalize_name(each.name), frozenset(each.extras))
        for each in map(Requirement, wanted)
        if each.marker is None
        or any(each.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    }


def with_all_below(names: set[str]) -> set[str]:
    """Return what is installed of some packages and of all that these need."""
    waiting = {(name, frozenset[str]()) for name in names}
    found: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = package = waiting.pop()
        found.add(package)
        with contextlib.suppress(PackageNotFoundError):
            waiting |= needs(requires(name) or [], {*extras}) - found
    return {name for name, _ in found}


def described() -> dict[str, Any]:
    """Return the bill of this environment."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment"]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible"]
    told = subprocess.run(
        [*command, *options, sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )
    bill: dict[str, Any] = json.loads(told.stdout)
    return bill


def kept(bill: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Return a bill of the named packages, and of nothing else."""
    root = bill["metadata"]["component"]["bom-ref"]
    parts = [p for p in bill["components"] if canonicalize_name(p["name"]) in names]
    known = {root, *(part["bom-ref"] for part in parts)}
    dependencies = []
    for each in bill["dependencies"]:
        if each["ref"] in known:
            on = [ref for ref in each.get("dependsOn", []) if ref in known]
            dependencies.append(
                {"ref": each["ref"], **({"dependsOn": on} if on else {})}
            )
    return bill | {"components": parts, "dependencies": dependencies}


if __name__ == "__main__":
    main()
