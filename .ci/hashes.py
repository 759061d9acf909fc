"""`make hashes`: hashes.txt, each line of constraints.txt but torch's with the SHA-256 of the file that pip takes."""

import json
import subprocess
import sys
from pathlib import Path

HEAD = """\
# Made by `make hashes` from constraints.txt: the files that CPython {python} takes on Linux x86-64, as CI does. Without
# torch: its CPU build, which CI installs, is another file than the one of the same version on the package index.
"""
PIP = ["-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-"]


def pinned(constraints: Path) -> list[str]:
    lines = [line.strip() for line in constraints.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "torch=="))]


def main() -> None:
    root = Path(__file__).parents[1]
    report = subprocess.run(
        [sys.executable, *PIP, *pinned(root / "constraints.txt")], check=True, stdout=subprocess.PIPE, text=True
    )
    chosen = json.loads(report.stdout)["install"]
    lines = [
        f"{one['metadata']['name']}=={one['metadata']['version']} "
        f"--hash=sha256:{one['download_info']['archive_info']['hashes']['sha256']}\n"
        for one in sorted(chosen, key=lambda one: one["metadata"]["name"].lower())
    ]
    head = HEAD.format(python=f"{sys.version_info.major}.{sys.version_info.minor}")
    (root / "hashes.txt").write_text(head + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
