"""`python -m miaosha.gateway --listen unix:/path.sock --instance 0`."""

from miaosha import bootstrap
from miaosha.gateway.gateway import Parts, serve
from miaosha.serving.process import Process, run
from miaosha.settings import Settings


async def main(process: Process, settings: Settings) -> None:
    """Open what the gateway needs, serve, close it again."""
    async with bootstrap.gateway(settings) as opened:
        parts = Parts(
            store=opened.store,
            bus=opened.bus,
            clock=opened.clock,
            access_tokens=opened.access_tokens,
            question_key=opened.question_key,
            heartbeats=opened.heartbeats,
            checks=opened.checks,
        )
        await serve(parts, process, settings)


if __name__ == "__main__":
    run("gateway", main)
