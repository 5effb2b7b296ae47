"""nginx check: lets nginx read its configuration before it starts, and says its reason at once."""

import subprocess
from pathlib import Path
from typing import Final

from miaosha.supervisor.child_spec import StartFailed
from miaosha.supervisor.edge.nginx_config import nginx_binary

CHECK_S: Final = 30.0


def check_config(run: Path) -> None:
    """Let nginx read the configuration in `run`. Blocks.

    Raises:
        StartFailed: nginx refuses it, with its reason; or has not read it within CHECK_S seconds.
        DependencyDown: there is no nginx.
    """
    command = [nginx_binary(), "-p", "./", "-e", "stderr", "-t", "-q", "-c", "nginx.conf"]
    try:
        done = subprocess.run(
            command,
            cwd=run,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=CHECK_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartFailed(f"nginx took longer than {CHECK_S:g} s for its configuration") from None
    if done.returncode:
        raise StartFailed(f"nginx refuses its configuration: {done.stderr.strip()}")
