"""Table: every rule that is broken."""

from typing import Final

from tests.lab.mutants.duties import DUTIES
from tests.lab.mutants.money import MONEY
from tests.lab.mutants.rebuilds import REBUILDS
from tests.lab.mutants.requests import REQUESTS

MUTANTS: Final = (*REQUESTS, *REBUILDS, *MONEY, *DUTIES)
