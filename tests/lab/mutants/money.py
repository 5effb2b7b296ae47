"""Payments, and mails. Each rule is broken in turn."""

from typing import Final

from tests.lab.faults import Mishap
from tests.lab.mutants.breaking import Mutant
from tests.lab.people import Kind

MONEY: Final = (
    Mutant(
        "lost charge is refused",
        "usecases.checkout:Checkout.pay",
        "charge = await self._payments.lookup(attempt.key)",
        "charge = Charge(ChargeState.REFUSED)",
        "a charge whose answer was lost is looked up",
        ("money",),
        shape={"people": (Kind.ANSWER_LOST,) * 6},
    ),
    Mutant(
        "void is assumed",
        "usecases.checkout:Checkout.settle_stale",
        "await self._payments.void(attempt.key)",
        "Charge(ChargeState.VOIDED)",
        "a stale payment is voided at the provider, who may say that it was charged",
        ("money",),
    ),
    Mutant(
        "a refusal ends a hold",
        "usecases.checkout:Checkout._give_back",
        "now_ms = surely_ms(self._clock)",
        "now_ms = surely_ms(self._clock) + 3_000",
        "a refused payment gives its hold back while there is time to pay",
        ("always",),
        shape={"people": (Kind.ALWAYS_REFUSED, Kind.REFUSED_ONCE) * 3},
    ),
    Mutant(
        "late money is kept",
        "usecases.checkout:Checkout._capture",
        "await self._payments.refund(attempt.key)",
        "pass",
        "a charge whose hold has ended is given back",
        ("money",),
        second=True,  # the provider voids, and never charges what it voided
    ),
    Mutant(
        "refund has no mail",
        "usecases.checkout:Checkout._capture",
        "await retry_unknown(lambda: self._attempts.mark_refunded(attempt.key, now_ms))",
        "pass",
        "a buyer is told of money that was given back",
        ("money",),
        second=True,  # as above
    ),
    Mutant(
        "stale payments stay",
        "workers.scheduler:Scheduler._stale_payments",
        "await self._parts.checkout.settle_stale(before_ms)",
        "0",
        "a payment that never ends is settled by the scheduler",
        ("rest", "money", "waits"),
    ),
    Mutant(
        "a mail is marked first",
        "usecases.mail_queue:MailQueue.deliver",
        "item, recipient = found",
        "item, recipient = found\n    await self._outbox.mark_sent(item.id, self._clock.now_ms())",
        "a mail is marked sent when it was sent",
        ("money",),
        shape={"focus": ("mail.send",), "rate": 0.3, "mishaps": (Mishap.DIES_BEFORE,)},
    ),
    Mutant(
        "a sent mail is forgotten",
        "usecases.mail_queue:MailQueue.deliver",
        "if item.id not in self._sent:",
        "if True:",
        "a mailer sends no mail twice while SQL cannot be told that it was sent",
        ("money",),
        shape={
            "focus": ("sql.outbox", "sql.SqlOutbox"),
            "rate": 0.3,
            "mishaps": (Mishap.AWAY,),
        },
    ),
    Mutant(
        "another amount is taken",
        "usecases.checkout:Checkout.pay",
        "self._payments.charge(attempt.key, attempt.amount, card",
        'self._payments.charge(attempt.key, type(attempt.amount)(1, "USD"), card',
        "what is taken is the price of the order",
        ("money",),
    ),
    Mutant(
        "mails are not relayed again",
        "usecases.mail_queue:MailQueue.relay",
        "if items:",
        "if False:",
        "every event has its mail",
        ("money",),
    ),
)
