"""`python -m miaosha.api --listen unix:/path.sock|host:port [--instance 0] [--metrics …]`"""

from miaosha.adapters.process import run
from miaosha.api.server import serve

if __name__ == "__main__":
    run("api", serve)
