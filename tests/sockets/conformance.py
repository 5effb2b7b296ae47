"""Runs the protocols' official test suites against examples/socketio_echo.py: `make conformance`.

    python -m tests.sockets.conformance PATH

PATH is a checkout of github.com/socketio/socket.io, or its folder `docs`. The suites are copied, so
that nothing is written there; npm brings what they need. The exit status is 1 if a case failed.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.sockets.echo import echo
from tests.sockets.stock import node, npm

HEARTBEAT = ("--ping-interval-ms=300", "--ping-timeout-ms=200")  # as both suites have it
SUITES = {  # folder: (options of the example, its path)
    "engine.io-protocol/v4-test-suite": (("--engineio",), "/engine.io/"),
    "socket.io-protocol/v5-test-suite": ((), "/socket.io/"),
}
WHERE = re.compile(r'URL = "http://localhost:\d+"')


def suite(checkout: Path, folder: str) -> Path | None:
    """The folder of a suite in a checkout, if it is there."""
    found = [checkout / "docs" / folder, checkout / folder]
    return next((path for path in found if (path / "test-suite.js").is_file()), None)


def run(source: Path, options: tuple[str, ...], path: str) -> bool:
    """Run one suite on a server of its own; whether all of it passed."""
    binary = node()
    with (
        tempfile.TemporaryDirectory(prefix="suite-") as name,
        echo(*HEARTBEAT, *options, path=path) as server,
    ):
        copy = Path(name) / "suite"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("node_modules"))
        script = copy / "test-suite.js"
        text, changes = WHERE.subn(f'URL = "http://127.0.0.1:{server.port}"', script.read_text())
        assert changes == 1, "the suite names its server in another way"
        script.write_text(text)
        install = [*npm(binary), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        subprocess.run(install, cwd=copy, check=True)
        mocha = [binary, str(copy / "node_modules" / "mocha" / "bin" / "mocha"), str(script)]
        return subprocess.run(mocha, cwd=copy, check=False).returncode == 0


def main(checkout: Path) -> int:
    """Run both suites. 2: they are not there."""
    found = {folder: suite(checkout, folder) for folder in SUITES}
    if missing := [folder for folder, path in found.items() if path is None]:
        sys.stderr.write(f"{checkout} has no {' and no '.join(missing)}\n")
        return 2
    good = [run(path, *SUITES[folder]) for folder, path in found.items() if path is not None]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
