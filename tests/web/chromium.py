"""The browser the pages are tested with: the system's Chromium or Chrome.

`python -m tests.web.chromium` finds it, installs it where it can (apt, as root), or says what to
install; under CI a missing browser is a failure.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PACKAGES = ("chromium", "fonts-wqy-zenhei")  # the second for pages in 繁體中文
INSTALL_S = 600
ADVICE = (
    "The pages' tests need Chromium or Chrome. Debian: sudo apt install chromium. Ubuntu: sudo "
    "snap install chromium. Elsewhere set CHROMIUM to the path of one."
)


def find() -> str | None:
    """Path of the browser: $CHROMIUM, else the first of NAMES on PATH."""
    names = (os.environ.get("CHROMIUM", ""), *NAMES)
    return next((path for name in names if name and (path := shutil.which(name))), None)


def install() -> str | None:
    """By apt, where that is ours to do; the path, or None."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return None
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "timeout": INSTALL_S}
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-q", *command], env=environ, check=False, **quiet)  # type: ignore[call-overload]
    return find()


def main() -> int:
    """0: there is one. 1: there is none and there must be. 2: the pages go untested here."""
    if find() or install():
        return 0
    sys.stderr.write(ADVICE + "\n")
    return 1 if os.environ.get("CI") else 2


if __name__ == "__main__":
    raise SystemExit(main())
