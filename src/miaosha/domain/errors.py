"""Errors: every error a caller may meet, as one tree.

    MiaoshaError
    ├── Problem            the caller asked for something that cannot be done; has a stable `code`
    │     (raised with one of CODES; its HTTP status is looked up there and nowhere else)
    └── Fault              the platform could not do its part; asking again may help
          ├── DependencyDown   a store, broker or database is away
          ├── OutcomeUnknown   a commit, confirm or charge was sent and its answer lost
          └── Overloaded       a limit with a name was reached

Outcomes of a purchase (held, standby, sold_out…) are values, not errors.
"""

from typing import Final

CODES: Final[dict[str, tuple[int, str]]] = {
    # code: (HTTP status, title)
    "bad_request": (400, "The request is not valid"),
    "unauthorized": (401, "A valid access token is required"),
    "bad_credentials": (401, "E-mail or password is wrong"),
    "payment_refused": (402, "The payment was refused"),
    "forbidden": (403, "Not allowed for this account"),
    "wrong_answer": (403, "The answer to the question is wrong"),
    "not_found": (404, "Nothing here under this address"),
    "method_not_allowed": (405, "This address does not take that method"),
    "request_timeout": (408, "The request did not arrive in time"),
    "email_taken": (409, "An account with this e-mail exists"),
    "not_open": (409, "The sale has not opened yet"),
    "closed": (409, "The sale is over"),
    "paused": (409, "The sale is paused"),
    "payment_in_progress": (409, "A payment for this unit is in progress"),
    "already_extended": (409, "The time to pay was extended before"),
    "conflict": (409, "This does not fit the present state"),
    "sold_out": (410, "Sold out"),
    "hold_expired": (410, "The reservation has expired"),
    "length_required": (411, "A Content-Length is required"),
    "precondition_failed": (412, "The condition of the request does not hold"),
    "too_large": (413, "The request is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "range_not_satisfiable": (416, "The file has no such range"),
    "expectation_failed": (417, "Expect is not supported"),
    "rate_limited": (429, "Too many requests"),
    "headers_too_large": (431, "The request headers are too large"),
    "internal": (500, "Something went wrong on our side"),
    "not_implemented": (501, "This transfer coding is not known here"),
    "overloaded": (503, "Too busy, try again shortly"),
    "frozen": (503, "The sale is being checked, try again shortly"),
    "unavailable": (503, "A part of the platform is away, try again shortly"),
    "version_not_supported": (505, "This version of HTTP is not spoken here"),
}

RETRY_AFTER_S: Final[dict[str, int]] = {
    # code: after how many seconds asking again makes sense, where nobody knows better
    "rate_limited": 1,
    "overloaded": 1,
    "frozen": 2,  # a rebuild takes a moment
    "unavailable": 1,
}


class MiaoshaError(Exception):
    """Root of every error raised on purpose by this package."""


class Problem(MiaoshaError):
    """The request cannot be fulfilled as asked.

    Args:
        code: a key of CODES; stable, clients may branch on it.
        detail: one sentence for the person reading it; never contains a secret.
        retry_after_s: seconds after which asking again makes sense; default: RETRY_AFTER_S.
        field: the field of the body or query that is wrong, if one is.
    """

    def __init__(
        self, code: str, detail: str = "", *, retry_after_s: int | None = None, field: str = ""
    ) -> None:
        assert code in CODES, code
        super().__init__(detail or CODES[code][1])
        self.code = code
        self.detail = detail
        self.retry_after_s = RETRY_AFTER_S.get(code) if retry_after_s is None else retry_after_s
        self.field = field

    @property
    def status(self) -> int:
        return CODES[self.code][0]


class Fault(MiaoshaError):
    """The platform failed to do its part. Repeating the same call is safe."""


class DependencyDown(Fault):
    """A store, broker, database or provider does not answer."""


class OutcomeUnknown(Fault):
    """Something was sent and its answer lost: look it up, never assume."""


class Overloaded(Fault):
    """A named limit was reached (`limit` is its name); try again later."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"limit reached: {limit}")
        self.limit = limit


class SettingsError(MiaoshaError):
    """A setting is unknown or bad; says the key, the value and what was expected."""


class IllegalTransition(AssertionError):
    """A place was asked for a move its table does not have: a bug, not an outcome."""
