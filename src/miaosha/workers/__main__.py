"""Worker: `python -m miaosha.workers consumer|scheduler|mailer`."""

import sys

from miaosha.serving.process import run
from miaosha.workers import consumer, mailer, scheduler

ROLES = {"consumer": consumer.serve, "scheduler": scheduler.serve, "mailer": mailer.serve}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ROLES:
        sys.stderr.write(f"expected one of: {', '.join(ROLES)}\n")
        raise SystemExit(2)
    run(sys.argv[1], ROLES[sys.argv[1]], sys.argv[2:])
