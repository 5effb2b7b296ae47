"""Gateway: `python -m miaosha.gateway --listen unix:/path.sock --instance 0`, one process."""

from miaosha import bootstrap
from miaosha.gateway.gateway import Gateway
from miaosha.serving.process import Process, run
from miaosha.settings import Settings


async def main(process: Process, settings: Settings) -> None:
    """Open what the gateway needs, serve until `process.stop` is set, close it again."""
    async with bootstrap.gateway(settings) as parts:
        await Gateway(parts, process, settings).run()


if __name__ == "__main__":
    run("gateway", main)
