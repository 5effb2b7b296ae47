"""Publisher: `python -m miaosha.publisher --listen unix:/path.sock [--metrics host:port]`."""

from miaosha.publisher.publisher import serve
from miaosha.serving.process import run

if __name__ == "__main__":
    run("publisher", serve)
