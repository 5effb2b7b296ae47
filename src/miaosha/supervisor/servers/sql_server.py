"""SQL server: the address of a private SQL server, with its password."""

from dataclasses import dataclass
from typing import Final

from miaosha.supervisor.servers.packaged_server import LOOPBACK, USER, PackagedServer

DATABASE: Final = "miaosha"


@dataclass(kw_only=True)
class SqlServer(PackagedServer):
    """See Packaged. `url` is what MIAOSHA_DATABASE_URL takes; it holds the password."""

    port: int
    scheme: str
    password: str

    def url_of(self, database: str) -> str:
        return f"{self.scheme}://{USER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)
