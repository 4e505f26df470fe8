"""Devboxes are looked at when what they go by has changed, and only then."""

from devbox_operator.kit.queue import WorkQueue
from devbox_operator.seen.keys import Kind, WorkKey
from devbox_operator.watch.news import News

USERS = [("team-a", "one"), ("team-b", "two")]


async def nothing(_: WorkKey) -> None:
    raise AssertionError("nobody works here")


class Told(WorkQueue[WorkKey]):
    """Keeps what is added."""

    def __init__(self) -> None:
        super().__init__(nothing, on_error=lambda *_: None)
        self.told: list[WorkKey] = []

    def add(self, key: WorkKey, after: float = 0.0) -> None:
        assert after == 0
        self.told.append(key)


def test_a_change_is_told_to_all_users_once() -> None:
    queue = Told()
    news = News(queue)
    news.tell(("team-a", "config"), ("uid", 1), USERS)
    assert queue.told == [WorkKey(Kind.DEVBOX, *user) for user in USERS]
    news.tell(("team-a", "config"), ("uid", 1), USERS)
    news.tell(("team-a", "other"), None, USERS)
    assert len(queue.told) == 2
    news.tell(("team-a", "config"), ("uid", 2), USERS[:1])
    news.tell(("team-a", "config"), None, USERS)
    news.tell(("team-a", "config"), None, USERS)
    news.tell(("team-a", "config"), ("uid", 2), USERS)
    assert len(queue.told) == 2 + 1 + 2 + 2
