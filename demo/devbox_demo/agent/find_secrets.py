"""Look for secrets in everything that a process of this pod can read, without holding them.

Standard input: `{"salt": hex, "needles": [{"label", "anchor": hex, "length": n, "digest": hex}]}`. An anchor is the first few
bytes of a window of the secret, in some encoding; a place where one is found counts if the salted SHA-256 of the whole window
is the needle's digest. So the search can't find itself, and nobody learns a key from it.

Standard output: `{"hits": [[label, where]], "files", "bytes", "unreadable", "processes", "memory"}`. Looks into: every regular
file on every mount (but /proc and /sys, which are no files), and for each process its environment, command line and memory.
"""
# Tens of thousands of files: plain strings are a good deal faster than Path objects.
# ruff: noqa: PTH118, PTH123, PTH208

import hashlib
import json
import os
import stat
import sys

CHUNK = 16 * 2**20
OVERLAP = 512

spec = json.load(sys.stdin)
salt = bytes.fromhex(spec["salt"])
needles = [(n["label"], bytes.fromhex(n["anchor"]), n["length"], n["digest"]) for n in spec["needles"]]
hits: set[tuple[str, str]] = set()
counts = {"files": 0, "bytes": 0, "unreadable": 0, "processes": 0, "memory": 0}


def search(data: bytes, where: str) -> None:
    for label, anchor, length, digest in needles:
        at = data.find(anchor)
        while at >= 0:
            if hashlib.sha256(salt + data[at : at + length]).hexdigest() == digest:
                hits.add((label, where))
            at = data.find(anchor, at + 1)


def search_file(path: str) -> None:
    try:
        with open(path, "rb") as file:
            before = b""
            while chunk := file.read(CHUNK):
                search(before + chunk, path)
                before = chunk[-OVERLAP:]
                counts["bytes"] += len(chunk)
    except OSError:
        counts["unreadable"] += 1
        return
    counts["files"] += 1


def search_memory(pid: str) -> None:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, permissions, *_ = line.split()
            if "r" not in permissions or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(edge, 16) for edge in span.split("-"))
            for offset in range(start, end, CHUNK):
                try:
                    memory.seek(offset)
                    data = memory.read(min(CHUNK + OVERLAP, end - offset))
                except (OSError, ValueError, OverflowError):
                    continue
                counts["memory"] += len(data)
                search(data, f"memory of process {pid}")


for folder, folders, files in os.walk("/", onerror=lambda _: None):
    if folder == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys")]
    for name in files:
        path = os.path.join(folder, name)
        try:
            if stat.S_ISREG(os.lstat(path).st_mode):
                search_file(path)
        except OSError:
            counts["unreadable"] += 1
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                search(file.read(), f"{name} of process {pid}")
        search_memory(pid)
        counts["processes"] += 1
    except OSError:
        counts["unreadable"] += 1
json.dump({"hits": sorted(hits), **counts}, sys.stdout)
