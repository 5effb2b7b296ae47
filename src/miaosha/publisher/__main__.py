"""`python -m miaosha.publisher --listen unix:/path.sock --instance 0 [--metrics host:port]`"""

from miaosha.adapters.process import run
from miaosha.publisher.server import serve

if __name__ == "__main__":
    run("publisher", serve)
