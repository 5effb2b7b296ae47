"""Standalone edge: nginx and its switch in the foreground, for roles on other machines.

`up` runs the same two beside its roles.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from miaosha.bootstrap.servers import store
from miaosha.domain.urls import directory_of
from miaosha.serving.alive import feed_watchdog
from miaosha.settings import Settings
from miaosha.supervisor import account, process_plan
from miaosha.supervisor.child_spec import Health, StartFailed
from miaosha.supervisor.children import Child
from miaosha.supervisor.edge import nginx_config
from miaosha.supervisor.edge.nginx_check import check_config
from miaosha.supervisor.edge.switch import switching
from miaosha.supervisor.edge.upstreams import Addresses
from miaosha.supervisor.hang_detector import HangDetector
from miaosha.supervisor.run_directory import held, run_directory
from miaosha.supervisor.server_watch import watched
from miaosha.supervisor.start_checks import check_certificate
from miaosha.supervisor.watches import Alarm, Tell, beside

READY_WITHIN_S = 10.0


@contextlib.asynccontextmanager
async def running_edge(
    settings: Settings, addresses: Addresses, resolver: str, tell: Tell, alarm: Alarm
) -> AsyncIterator[Child]:
    """nginx, listening; ended when the context is left. Its errors go to stderr.

    Args:
        addresses, resolver: see `upstream_lines`.
        alarm: rings if what watches over nginx or the switch breaks, or the run directory is gone.

    Raises:
        SettingsError: a setting or an address is bad.
        StartFailed: nginx refuses it, with its reason; or does not listen within READY_WITHIN_S.
        DependencyDown: there is no nginx.
    """
    check_certificate(settings)
    if os.geteuid() == account.ROOT:
        tell(account.AS_ROOT)
    with run_directory("miaosha-edge-") as run:
        site = _site(settings, run, resolver)
        nginx_config.write_config(settings, run, addresses, site)
        await asyncio.to_thread(check_config, run)
        vigil = HangDetector(settings.role_silence_s, tell) if settings.role_silence_s else None
        child = Child(process_plan.nginx_spec(settings, run, site.error_log), tell, alarm, vigil)
        async with (
            beside(held(run, alarm), "hold of the run directory", alarm),
            beside(feed_watchdog(), "watchdog of systemd", alarm),
            switching(settings, site.over, alarm),
            beside(watched([store(settings)], tell), "watch of the store", alarm),
        ):
            try:
                await _started(child)
                yield child
            finally:
                await child.stop()


def _site(settings: Settings, run: Path, resolver: str) -> nginx_config.Site:
    return nginx_config.Site(
        run=run,
        files=Path(directory_of(settings.files_url)).absolute(),
        error_log=Path("stderr"),
        over=run / "over",
        resolver=resolver,
    )


async def _started(child: Child) -> None:
    await child.start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while child.health is not Health.READY:  # noqa: ASYNC110 - as `up` waits
                await asyncio.sleep(0.05)
    if child.health is not Health.READY:
        raise StartFailed(f"nginx does not listen within {READY_WITHIN_S:.0f} s")
