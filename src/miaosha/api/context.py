"""API context: what the handlers of one API process share: parts, use cases, quotas, sales.

`create_app` makes it once; `context_of(request)` finds it.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Final, cast

from miaosha.api.guesses import Guesses
from miaosha.api.public_sales import PublicSales
from miaosha.api.quotas import AtOnce, Quota
from miaosha.bootstrap import ApiParts
from miaosha.serving.client_address import ClientAddresses
from miaosha.settings import Settings, proxies
from miaosha.usecases.accounts import Membership
from miaosha.usecases.manage import Manage
from miaosha.usecases.presses import Presses
from miaosha.usecases.products import Products
from miaosha.usecases.sale_watch import SaleWatch
from miaosha.usecases.story import Stories

WORKBOOKS_AT_ONCE: Final = 2
# An audit or a rebuild of a large sale takes a minute. A page is answered by then, and the work
# goes on by itself: less than any proxy waits.
WAIT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class ApiContext:
    """Attributes:
    sign_ups, sign_ups_per_hour, sign_ups_at_once: new accounts by client address.
    sign_ins, sign_ins_at_once: of strangers, by client address; successes do not count.
    known_at_once: sign-ins of the known, by client address; more are treated as strangers'.
    guesses: wrong passwords by account, address and device.
    workbooks_at_once: spreadsheets being written, of everybody.
    counters: responses by class of status, for the metrics.
    """

    parts: ApiParts
    settings: Settings
    membership: Membership
    products: Products
    manage: Manage
    stories: Stories
    sale_watch: SaleWatch
    board: PublicSales
    sign_ups: Quota
    sign_ups_per_hour: Quota
    sign_ups_at_once: AtOnce
    sign_ins: Quota
    sign_ins_at_once: AtOnce
    known_at_once: AtOnce
    guesses: Guesses
    workbooks_at_once: AtOnce
    addresses: ClientAddresses
    counters: MutableMapping[str, float]

    async def close(self) -> None:
        """Cut off what goes on behind the answers."""
        await self.sale_watch.close()
        await self.parts.control.close_down()


def make_context(
    parts: ApiParts, settings: Settings, counters: MutableMapping[str, float]
) -> ApiContext:
    """Raises SettingsError for a bad MIAOSHA_TRUSTED_PROXIES."""
    clock = parts.clock
    at_once = max(1, settings.password_queue_max // 2)  # one address fills no queue alone
    return ApiContext(
        parts=parts,
        settings=settings,
        membership=Membership(parts.accounts, parts.passwords, parts.tokens, clock),
        products=Products(
            parts.catalogue, parts.trail, parts.files, parts.pictures, parts.control, clock
        ),
        manage=Manage(parts.catalogue, parts.trail, parts.control, clock),
        stories=Stories(
            parts.accounts,
            parts.catalogue,
            parts.ledger.holds,
            parts.ledger.orders,
            parts.store,
            parts.backoffice,
            Presses(parts.broker, parts.store),
        ),
        sale_watch=SaleWatch(parts.backoffice, parts.ledger.audits, parts.inspector, clock),
        board=PublicSales(parts.catalogue, parts.store, parts.heartbeats, clock),
        sign_ups=Quota("sign_ups_per_min", settings.sign_ups_per_min, clock),
        sign_ups_per_hour=Quota(
            "sign_ups_per_hour", settings.sign_ups_per_hour, clock, per_s=3_600
        ),
        sign_ups_at_once=AtOnce("sign_ups_at_once", at_once),
        sign_ins=Quota("sign_ins_per_min", settings.sign_ins_per_min, clock),
        sign_ins_at_once=AtOnce("sign_ins_at_once", at_once),
        known_at_once=AtOnce("known_at_once", max(1, at_once // 4)),
        guesses=Guesses(settings.account_tries_per_min, clock),
        workbooks_at_once=AtOnce("workbooks_at_once", WORKBOOKS_AT_ONCE),
        addresses=ClientAddresses(proxies(settings)),
        counters=counters,
    )


def context_of(connection: Any) -> ApiContext:
    """The context of the app that serves this request."""
    return cast("ApiContext", connection.app.state.context)
