"""What is run in a pod, by its Python and with nothing but the standard library: tries each probe once and says what came of it.

Goes in, on standard input: a JSON list of probes (targets.py, proxied.py). Comes out: a JSON object, probe's name → a word, one of
`answered`, `refused`, `silent`, `no route`, `not permitted`, `unsupported`, or for the forward proxy its status and code. The words
are for people: whether something got out is decided by the counters (counters.py). Sent as text by pods.py.
"""

import base64
import concurrent.futures
import contextlib
import errno
import json
import os
import re
import socket
import ssl
import struct
import sys
from pathlib import Path
from typing import Any

Probe = dict[str, Any]
SECONDS = 2.5
FREEBIND = 78  # IPV6_FREEBIND, in6.h
WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "no route",
    errno.EADDRNOTAVAIL: "no route",
    errno.EHOSTUNREACH: "refused",
    errno.EPERM: "not permitted",
    errno.EACCES: "not permitted",
    errno.EPROTONOSUPPORT: "unsupported",
    errno.ESOCKTNOSUPPORT: "unsupported",
    errno.EAFNOSUPPORT: "unsupported",
    errno.ECONNRESET: "reset",
}
QUERY = bytes.fromhex("abcd01000001000000000000") + b"\x0aallowed-ok\x05probe\x07example\x00\x00\x01\x00\x01"


def address(probe: Probe) -> tuple[int, Any]:
    """For connect(): a link-local IPv6 address needs the device."""
    version = socket.AF_INET6 if ":" in probe["host"] else socket.AF_INET
    return version, socket.getaddrinfo(probe["host"], probe.get("port", 0), version)[0][4]


def own_global() -> str:
    """The pod's IPv6 address that is not of the link alone."""
    lines = [line.split() for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()]
    (digits, *_) = (line[0] for line in lines if line[3] == "00" and line[5] == "eth0")
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


def opened(probe: Probe, family: int, kind: int) -> socket.socket:
    """A socket; bound to the address that the probe says, whether that is the pod's or not."""
    sock = socket.socket(family, kind)
    sock.settimeout(SECONDS)
    if source := probe.get("from"):
        sock.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
        sock.bind((own_global() if source == "own" else source, 0))
    return sock


def tcp(probe: Probe) -> str:
    family, where = address(probe)
    with opened(probe, family, socket.SOCK_STREAM) as sock:
        sock.connect(where)
        if probe.get("dns"):
            sock.sendall(len(QUERY).to_bytes(2, "big") + QUERY)
            return "answered" if sock.recv(100) else "reset"
    return "answered"


def udp(probe: Probe) -> str:
    family, where = address(probe)
    with opened(probe, family, socket.SOCK_DGRAM) as sock:
        if probe["host"].startswith("ff0"):
            sock.sendto(QUERY, where)  # a group: who answers has another address
        else:
            sock.connect(where)
            sock.send(QUERY if probe.get("dns") else b"probe")
        sock.recv(100)
    return "answered"


def icmp(probe: Probe) -> str:
    """An echo request; where the kernel does not let plain users ping, by a raw socket."""
    family, where = address(probe)
    six = family == socket.AF_INET6
    body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 1, 1)
    if not six:  # (the kernel makes the sum of ICMPv6)
        body = body[:2] + struct.pack("!H", 0xFFFF ^ sum(struct.unpack("!4H", body))) + body[4:]
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            sock = socket.socket(family, kind, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
        except PermissionError:
            continue
        with sock:
            sock.settimeout(SECONDS)
            sock.connect(where)
            sock.send(body)
            sock.recv(100)
        return "answered"
    raise PermissionError(errno.EPERM, "no ICMP socket")


def raw(probe: Probe) -> str:
    """A packet of any protocol, made by hand."""
    family, where = address(probe)
    with socket.socket(family, socket.SOCK_RAW, probe["protocol"]) as sock:
        sock.sendto(probe["bytes"].encode("latin-1"), where)
    return "sent"


def sctp(probe: Probe) -> str:
    """By the kernel's SCTP; without that, an INIT by a raw socket."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as sock:
            sock.settimeout(SECONDS)
            sock.connect((probe["host"], probe["port"]))
        return "answered"
    except OSError as error:
        if error.errno != errno.EPROTONOSUPPORT:
            raise
    init = struct.pack("!HHII", 4711, probe["port"], 0, 0) + struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
    return raw({"host": probe["host"], "protocol": 132, "bytes": (init[:8] + crc32c(init) + init[12:]).decode("latin-1")})


def crc32c(data: bytes) -> bytes:
    """RFC 9260, appendix A: a packet with a wrong sum would be dropped as invalid, and prove nothing."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return struct.pack("<I", value ^ 0xFFFFFFFF)


def packet(probe: Probe) -> str:
    """A frame past the kernel's own network."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as sock:
        sock.bind(("eth0", 0))
    return "opened"


def vsock(probe: Probe) -> str:
    """To the machine that this one is a guest of; opened and no more."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM):
        return "opened"


def loopback(probe: Probe) -> str:
    """A server of the pod's own."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2], timeout=2):
        return "answered"


def opening(probe: Probe) -> tuple[socket.socket, str]:
    """CONNECT to $HTTPS_PROXY: the connection, and "200" or the refusal's status and code."""
    proxy = re.fullmatch(r"https?://[^:]*:([^@]*)@([^:/]+):(\d+)/?", os.environ["HTTPS_PROXY"])
    assert proxy is not None
    basic = base64.b64encode(f"devbox:{proxy[1]}".encode()).decode()
    target = probe["target"]
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {probe.get('host', target)}\r\nProxy-Authorization: Basic {basic}\r\n\r\n"
    sock = socket.create_connection((proxy[2], int(proxy[3])), timeout=10)
    sock.sendall(head.encode("utf-8"))
    answer = b""
    while b"\r\n\r\n" not in answer and (piece := sock.recv(4096)):
        answer += piece
    if not answer:
        return sock, "cut"
    status = answer.split(b" ", 2)[1].decode()
    if status != "200":
        with contextlib.suppress(OSError):
            sock.settimeout(1)
            answer += sock.recv(4096)
    code = re.search(rb'"code": ?"([a-z_]+)"', answer)
    return sock, f"{status} {code[1].decode() if code else ''}".strip()


def tunnel(probe: Probe) -> socket.socket:
    """An open one, whose other end has been heard of."""
    sock, status = opening(probe)
    assert status == "200", status
    sock.sendall(hello(probe.get("sni", probe["target"].rpartition(":")[0])))
    assert b"devbox-probes" in sock.recv(4096)
    return sock


def connect(probe: Probe) -> str:
    """A tunnel: a ClientHello, and whatever the other end says."""
    sock, status = opening(probe)
    with sock:
        if status != "200":
            return status
        with contextlib.suppress(ConnectionError):
            sock.sendall(hello(probe.get("sni", probe["target"].rpartition(":")[0])))
            if b"devbox-probes" in sock.recv(4096):
                return "200 open"
        return "200 cut"


def hello(name: str) -> bytes:
    """A TLS ClientHello for a server name; none: without one."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name or None).do_handshake()
    return out.read()


def attempt(probe: Probe) -> str:
    """One probe's word."""
    try:
        return str(globals()[probe["kind"]](probe))
    except TimeoutError:
        return "silent"
    except OSError as error:
        return WORDS.get(error.errno or 0, f"error: {error}")


if __name__ == "__main__":
    probes = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        words = list(threads.map(attempt, probes))
    sys.stdout.write(json.dumps({one["name"]: word for one, word in zip(probes, words, strict=True)}))
