"""Write what a wheel brings with it: python release/sbom.py dist/NAME.whl.

cyclonedx-py describes the whole environment; what the wheel does not need, such as
tools for tests, is left out. The bill lies beside the wheel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the bill of the wheel that is named."""
    wheel = Path(sys.argv[1])
    bill = kept(described(), needed_by(wheel))
    target = wheel.with_suffix(".cdx.json")
    target.write_text(json.dumps(bill, indent=1), encoding="utf-8")
    print(f"{target}: {len(bill['components'])} packages")


def needed_by(wheel: Path) -> set[str]:
    """Return the names of what everybody who installs a wheel has to install."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    wanted = map(Requirement, metadata.get_all("Requires-Dist", []))
    return {
        canonicalize_name(requirement.name)
        for requirement in wanted
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


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
    """Return a bill of what the named packages need, and of nothing else."""
    root = bill["metadata"]["component"]["bom-ref"]
    parts = {part["bom-ref"]: part for part in bill["components"]}
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    needs[root] = [
        ref for ref in needs[root] if canonicalize_name(parts[ref]["name"]) in names
    ]
    reached: list[str] = []
    waiting = [root]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.append(reference)
            waiting += needs.get(reference, [])
    return bill | {
        "components": [part for ref, part in parts.items() if ref in reached],
        "dependencies": [
            {"ref": ref, **({"dependsOn": needs[ref]} if needs.get(ref) else {})}
            for ref in needs
            if ref in reached
        ],
    }


if __name__ == "__main__":
    main()
