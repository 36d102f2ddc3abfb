"""Store verbs of the Images page: pages of photos, how doubtful the people on them are, deeds on many photos."""

from typing import Any

import numpy as np

from posestudio.store import documents, photos, splits
from posestudio.store import gallery as pages
from posestudio.store.database import Store
from posestudio.store.snapshots import OPEN
from posestudio.studio import queue, standing, verbs_runs
from posestudio.studio.documents import error_limit
from posestudio.studio.standing import Standing

Record = dict[str, Any]

"""Share of the labeled people, and least number, that are set aside for evaluation."""


def gallery(
    store: Store,
    split: str | None = None,
    status: str | None = None,
    mark: str | None = None,
    name: str | None = None,
    run: str | None = None,
    doubtful: bool = False,
    sort: str = "oldest",
    limit: int = 48,
    offset: int = 0,
) -> Record:
    """A page of photos; see `store.gallery.page` for what is not said here.

    Sort "doubt" and `doubtful` (only photos with a person at least as doubtful as the project's limit of errors) go by
    a run's predictions, or an imported model's; the newest when `run` is absent. Then the page also has run_id,
    calibrated and error_limit. Where doubts are not calibrated, no photo is `doubtful`: nothing says how likely an
    error is.
    """
    doubts, about = _doubts(store, run, doubtful, sort)
    page = pages.page(
        store, split=split, status=status, mark=mark, name=name, doubts=doubts,
        least=about["error_limit"] if doubtful else None, sort=sort, limit=limit, offset=offset,
    )  # fmt: skip
    return {**page, **about}


def photo(
    store: Store,
    image_id: int,
    split: str | None = None,
    status: str | None = None,
    mark: str | None = None,
    name: str | None = None,
    run: str | None = None,
    doubtful: bool = False,
    sort: str = "oldest",
) -> Record:
    """One photo with its neighbors among those that fit; see `store.gallery.photo`, arguments as in `gallery`."""
    doubts, about = _doubts(store, run, doubtful, sort)
    found = pages.photo(
        store, image_id, split=split, status=status, mark=mark, name=name, doubts=doubts,
        least=about["error_limit"] if doubtful else None, sort=sort,
    )  # fmt: skip
    return {**found, **about}


def doubts(store: Store, people: list[int], run: str | None = None) -> Record:
    """How doubtful some people are.

    Returns:
        run_id (None without predictions), calibrated (then a doubt is the mean chance of an error of a person's three
        most doubtful open keypoints, else a rank from 0 to 1), doubts: person -> number, those of val left out.
    """
    name = _model(store, run)
    if name is None:
        return {"run_id": None, "calibrated": False, "doubts": {}}
    known = standing.latest(store, name)
    ranked, wanted = _ranking(known), set(people)
    return {
        "run_id": name,
        "calibrated": known.doubts.probability is not None,
        "doubts": {str(one): round(value, 4) for one, value in ranked if one in wanted},
    }


def hide_photos(store: Store, images: list[int], hidden: bool, who: str, edit_id: str) -> Record:
    """Put photos away with everybody in them, or bring them back; see `store.photos.hide`."""
    return photos.hide(store, images, hidden, who=who, edit_id=edit_id)


def add_whole(store: Store, images: list[int], who: str) -> list[int]:
    """One person over the whole of each photo in which nobody is marked; returns their ids."""
    return photos.add_whole(store, images, who=who)


def photos_named(store: Store, names: list[str]) -> dict[str, str]:
    """Stored photos by the names under which they came in; see `store.photos.by_name`."""
    return photos.by_name(store, names)


def overview(store: Store) -> Record:
    """Where the project stands, for the way from photos to a model.

    Returns:
        project_id, counts as `splits`, statuses (photos by status), runs (that left students), keypoints, assumed
        (whether the skeleton is COCO's because no file brought one), error_limit, val (offer: people that could be set
        aside now, labeled: people of train).
    """
    counts = splits.counts(store)
    train = counts["splits"]["train"]
    labeled = train["reviewed"] + train["partly"]
    wanted = splits.val_size(train["reviewed"])
    assumed = store.read("SELECT 1 FROM meta WHERE key = 'skeleton_assumed'")
    skeleton = store.skeleton()
    return {
        "project_id": documents.project_id(store),
        "counts": counts,
        "statuses": pages.statuses(store),
        "runs": sum(row["usable"] for row in verbs_runs.list_runs(store)),
        "keypoints": len(skeleton.keypoints) if skeleton else 0,
        "assumed": bool(assumed) and not counts["labeled"],
        "error_limit": error_limit(store),
        "val": {"offer": 0 if counts["splits"]["val"]["people"] else wanted, "labeled": labeled},
    }


def _model(store: Store, run: str | None) -> str | None:
    return verbs_runs.model_name(store, run) if run else verbs_runs.newest_predicting(store)


def _doubts(
    store: Store, run: str | None, doubtful: bool, sort: str
) -> tuple[list[tuple[int, float]] | None, Record]:
    """How doubtful everybody is, and what that is by; nothing unless the page is filtered or sorted by it."""
    if not doubtful and sort != "doubt":
        return None, {}
    about = {"run_id": _model(store, run), "calibrated": False, "error_limit": error_limit(store)}
    if about["run_id"] is None:
        return [], about
    known = standing.now(store, about["run_id"])
    about["calibrated"] = known.doubts.probability is not None
    return [] if doubtful and not about["calibrated"] else _ranking(known), about


def _ranking(known: Standing) -> list[tuple[int, float]]:
    """People who are not of val by the mean doubt of their most doubtful open keypoints, the most doubtful first."""
    people = known.snapshot.people
    asked = (people.state == OPEN) & known.snapshot.taught
    asked &= (np.isin(people.split, ["train", "unlabeled"]) & ~people.iscrowd)[:, None]
    chance = known.doubts.probability
    said = known.doubts if chance is None else queue.Doubt(chance, chance)
    found = queue.by_doubt(said, asked, limit=len(people))
    return [(int(people.instance_id[index]), value) for index, value in found]


OFFERED = {
    function.__name__: function
    for function in (
        gallery, photo, doubts, hide_photos, add_whole, photos_named, overview,
    )
}  # fmt: skip
