"""A token that is whole."""

import base64

import orjson


def part(value: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")


JWT = f"{part({'alg': 'RS256'})}.{part({'kubernetes.io': {'pod': {'uid': 'pod-1'}}})}.c2ln"
TOKEN = f"gws_{JWT}".encode()
