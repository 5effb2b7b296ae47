"""Command line: `python -m miaosha.cli`."""

from miaosha.cli.main import run

if __name__ == "__main__":
    run()
