"""Version command: `miaosha version` prints the version."""

from miaosha import __version__
from miaosha.cli.command import screen


def version() -> None:
    """Print the version."""
    screen.say(__version__)
