"""`python -m miaosha.cli` is `miaosha`."""

from miaosha.cli.main import run

if __name__ == "__main__":
    run()
