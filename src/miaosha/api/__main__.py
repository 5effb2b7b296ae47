"""API: `python -m miaosha.api --listen unix:/path.sock|host:port [--instance 0] [--metrics …]`."""

from miaosha.api.uvicorn_server import serve
from miaosha.serving.process import run

if __name__ == "__main__":
    run("api", serve)
