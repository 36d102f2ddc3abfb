"""A small open project for the store's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from posestudio.core.skeleton import COCO17
from posestudio.store import images, people
from posestudio.store.database import Store, set_skeleton


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A project without photos, with COCO's skeleton; in what is marked `empty`, without any."""
    with Store(tmp_path / "project", create=True) as opened:
        if not request.node.get_closest_marker("empty"):
            opened.write(lambda cursor: set_skeleton(cursor, COCO17))
        yield opened


@pytest.fixture
def add_people(store: Store) -> Callable[..., list[int]]:
    """add_people(n, split) adds n images of 100 x 80 with one person each and returns their instance_ids."""

    def add(count: int, split: str = "unlabeled") -> list[int]:
        def job(cursor):
            start = cursor.execute("SELECT count(*) FROM images").fetchone()[0]
            rows = [
                images.NewImage(f"{start + i:064x}", 100, 80, split=split) for i in range(count)
            ]
            ids = images.add_many(cursor, rows)
            return people.add_many(
                cursor, [people.NewPerson(i, (10, 10, 50, 60), "full") for i in ids]
            )

        return store.write(job)

    return add
