"""Mirrors' API server, and a client of it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devbox_common.access import Access
from devbox_common.kube import KubeApi

from .mirror_api import PATH, Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    fake = Api()
    app = web.Application()
    app.router.add_get(PATH, fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")  # type: ignore[attr-defined]
        yield fake
        fake.send(None)


@pytest.fixture
async def client(api: Api) -> AsyncIterator[KubeApi]:
    access = Access(api.url)  # type: ignore[attr-defined]
    async with KubeApi(access) as client:
        yield client
