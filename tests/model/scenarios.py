"""The scopes that are run: small ones in `make test`, large ones in `make drills`, and for every
rule one scope in which leaving it out (or turning it round) breaks a promise.

Buyers are 0, 1, 2; a batch is the tuple of its buyers; whoever is in two batches presses again.
"""

from tests.model.scope import Scope

ONE = ((0,),)
TWO = ((0,), (1,))
AGAIN = ((0,), (0,))
LINE = ((0,), (1,), (0,))
THREE = ((0,), (1,), (2,))


def small() -> list[Scope]:
    """Each complete within seconds, together within 40 s of CPU."""
    return [
        Scope("two of everybody, a crash", TWO, consumers=2, workers=2, crash=1),
        Scope("two crashes", TWO, crash=2),
        Scope("taken over, a crash", TWO, consumers=2, dup=1, crash=1),
        Scope("presses again", AGAIN, consumers=2, dup=1, crash=1),
        Scope("presses again behind another", LINE, decline=1),
        Scope("leaves, presses again", ((0,), (1,), (1,)), leave=1, crash=1),
        Scope("leaves, declines", TWO, consumers=2, decline=1, leave=1, crash=1),
        Scope("pays twice", ONE, workers=2, pay=2, attempts=2, crash=2),
        Scope("pays, standby behind", TWO, pay=2, decline=1, crash=1),
        Scope("a batch of two", ((0, 1),), stock=2, consumers=2, dup=1, crash=1),
        Scope("one buyer twice in a batch", ((0, 0), (1,)), crash=1),
        Scope("three buyers", ((0, 1), (2,)), crash=1, decline=1),
        Scope("standby is full", THREE, standby_limit=1, crash=1),
        Scope("stock raised", TWO, resize=(2,), leave=1, crash=1),
        Scope("stock lowered", TWO, stock=2, resize=(1,), crash=1),
        Scope("paused", TWO, pause=1, crash=1),
        Scope("paused while rebuilt", TWO, pause=1, spurious=1, expire=False),
        Scope("closed and settled", TWO, close=True, settle=True, crash=1, pay=1),
        Scope("all lost, a crash", TWO, loss=1, crash=1),
        Scope("all lost twice", TWO, loss=2),
        Scope("all lost, pressed again", AGAIN, loss=1, crash=1),
        Scope("all lost, paid", ONE, loss=1, pay=1, crash=1),
        Scope("all lost, stock raised", TWO, loss=1, resize=(2,)),
        Scope("all lost, two rebuilders", ONE, loss=1, second=1, crash=1),
        Scope("all lost amid a false alarm", ONE, loss=1, late=1, spurious=1, crash=1),
        Scope("failover", TWO, failover=1),
        Scope("failover, left", TWO, failover=1, leave=1),
        Scope("failover, paid", ONE, failover=1, pay=1),
        Scope("failover, pressed again", AGAIN, failover=1),
        Scope("restarted, nothing lost", TWO, restart=1, crash=1),
        Scope("false alarm", TWO, spurious=1, workers=2),
        Scope("false alarm, paid", ONE, spurious=1, pay=2, attempts=2, crash=1),
        Scope("two false alarms, two rebuilders", ONE, spurious=2, second=1),
        Scope("failover amid a false alarm", ONE, failover=1, spurious=1),
        Scope("versions", TWO, versions=True, pay=1, crash=1),
        Scope("versions, rebuilt", AGAIN, versions=True, spurious=1),
    ]


def large() -> list[Scope]:
    """Up to two minutes and 600 MB each; one that reached its limit would say TRUNCATED."""
    scopes = [
        Scope("two of everybody, two crashes", TWO, consumers=2, workers=2, crash=2, dup=1),
        Scope("three buyers, two units", THREE, stock=2, consumers=2, crash=1, leave=1),
        Scope("presses again, two rounds", LINE, consumers=2, decline=1, crash=1, dup=1),
        Scope("pays three times", ONE, workers=2, pay=3, attempts=3, crash=2),
        Scope("pays, declines, leaves", TWO, pay=2, decline=1, leave=1, crash=1, workers=2),
        Scope("stock up, down", TWO, resize=(2, 1), crash=1, decline=1),
        Scope("stock lowered, two consumers", TWO, stock=2, consumers=2, resize=(1,), crash=1),
        Scope("paused while rebuilt", TWO, pause=1, spurious=1, crash=1),
        Scope("closed, settled, lost", TWO, close=True, settle=True, loss=1, pay=1),
        Scope("all lost, declined, paid", TWO, loss=1, decline=1, pay=1),
        Scope("all lost, two rebuilders", TWO, loss=1, second=1, crash=1),
        Scope("all lost twice, paid", ONE, loss=2, pay=1, crash=1),
        Scope("all lost amid a false alarm", TWO, loss=1, late=1, spurious=1),
        Scope("all lost, pressed again behind another", LINE, loss=1),
        Scope("failover, a crash", TWO, failover=1, crash=1),
        Scope("failover, paid, a crash", TWO, failover=1, pay=1),
        Scope("failover, pressed again", AGAIN, failover=1, crash=1),
        Scope("failover, declined", TWO, failover=1, decline=1),
        Scope("two failovers", TWO, failover=2),
        Scope("failover amid a false alarm", TWO, failover=1, late=1, spurious=1),
        Scope("restarted, a crash", TWO, restart=2, crash=1),
        Scope("false alarm, paid, declined", TWO, spurious=1, pay=1, decline=1),
        Scope("two false alarms, two rebuilders", TWO, spurious=2, second=1),
        Scope("versions", LINE, versions=True, pay=1, decline=1),
        Scope("versions, rebuilt", AGAIN, versions=True, spurious=1, pay=1, crash=1),
    ]
    for scope in scopes:
        scope.limit = 6_000_000
    return scopes


def mirrored() -> list[Scope]:
    """Run with every call held against the functions of the domain; versions on."""
    return [
        Scope("crash", TWO, versions=True, crash=1, decline=1, leave=1),
        Scope("pays, stock raised", TWO, versions=True, pay=1, resize=(2,)),
        Scope("presses again, paused", AGAIN, versions=True, pause=1),
        Scope("standby is full, closed", THREE, versions=True, standby_limit=1, close=True),
        Scope("one buyer twice in a batch", ((0, 0, 1), (1,)), versions=True, crash=1),
        Scope("all lost", AGAIN, versions=True, loss=1),
        Scope("failover", ONE, versions=True, failover=1),
        Scope("false alarm", TWO, versions=True, spurious=1, expire=False),
    ]


LOST_AMID = Scope("lost amid a rebuild", TWO, loss=1, late=1, spurious=1, expire=False)
PAYS = Scope("pays", ONE, workers=2, pay=2, attempts=2, crash=1)
ALL_LOST = Scope("all lost", TWO, loss=1)
REBUILT = Scope("rebuilt", TWO, spurious=1, expire=False)

# rule → the scope in which its absence is seen, and a promise it then breaks
NEEDED: dict[str, tuple[Scope, str]] = {
    "attempt_in_cas": (PAYS, "a new attempt replays an old answer"),
    "void": (PAYS, "G7 money kept without a unit"),
    "epoch_in_grant": (ALL_LOST, "I7"),
    "epoch_in_scripts": (Scope("rebuilt, paid", ONE, spurious=1, pay=1), "I8"),
    "run_id": (Scope("failover", TWO, failover=1), "I3 an accepted batch is lost"),
    "begin_run_id": (Scope("failover amid", ONE, failover=1, spurious=1), "I1 Redis miscounts"),
    "marker_late": (LOST_AMID, "I3 an accepted batch is lost"),
    "bump_first": (ALL_LOST, "I7"),
    "epoch_away": (REBUILT, "I1 Redis miscounts"),
    "keep_places": (REBUILT, "I3 a place that was given is lost"),
    "answered": (Scope("all lost, again", AGAIN, loss=1), "I7 a hold that ended lives on"),
    "replay": (ALL_LOST, "I3 an accepted batch is lost"),
    "records": (Scope("taken over", ONE, dup=1, crash=1), "I7"),
    "rid_in_scripts": (Scope("presses again", AGAIN, workers=2, crash=1), "I7"),
    "read_back": (Scope("late grant", ONE, dup=1, consumers=2, workers=2), "told held"),
    "wait_when_paused": (Scope("paused", TWO, pause=1), "told closed"),
    "resize_promotes": (Scope("raised", TWO, resize=(2,)), "I5 a unit lies idle"),
    "catch_up": (Scope("raised", TWO, resize=(2,), crash=1), "the stores differ"),
    "finish_unsynced": (Scope("a crash", TWO, crash=1), "left on ungranted or unsynced"),
    "rebuild_promotes": (REBUILT, "I5 a unit lies idle"),
}

# Without one of these the others still hold everything: they are a second line of defence.
DEFENCE: dict[str, Scope] = {"user_conflict": REBUILT}
