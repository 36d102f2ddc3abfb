"""What Train says before a training: whose labels would teach, who is held out, and which runs cannot begin."""

from pathlib import Path

import pytest

from posestudio import config
from posestudio.errors import TrainingError
from posestudio.store import freeze, snapshots
from posestudio.store.database import Store
from posestudio.studio.plan import learning
from posestudio.studio.verbs_runs import start_run
from posestudio.train import data
from tests import edited


@pytest.mark.parametrize("share", ["nobody", "some", "all"])
@pytest.mark.parametrize("hold_fold", [True, False])
def test_people_and_fold_are_those_of_the_training(tmp_path: Path, share: str, hold_fold: bool):
    """One photo or video can have every label in the fold; then they teach, as with data.hold_fold off."""
    made = edited.make(tmp_path)
    wanted = {"nobody": [], "some": made.labeled[:7], "all": made.labeled}[share]
    with Store(made.folder) as store:
        store.write(lambda cursor: cursor.execute("UPDATE groups SET fold = false"))
        fold = """UPDATE groups SET fold = true WHERE group_id IN (SELECT group_id FROM images
            JOIN instances USING (image_id) WHERE instance_id IN (SELECT unnest(?::BIGINT[])))"""
        store.write(lambda cursor: cursor.execute(fold, [wanted]))
        found = learning(store, hold_fold=hold_fold)
        frozen = snapshots.read(Path(freeze.freeze(store)["path"]))
    settings = config.make("best", "tiny", {"data.hold_fold": hold_fold})
    parts = data.split_people(frozen, settings)
    held = 7 if share == "some" and hold_fold else 0
    assert (found["people"], found["fold"]) == (len(parts.labeled), held)
    assert found["people"] + held == edited.LABELED
    placed = (frozen.people.state == snapshots.PLACED).sum(axis=1)
    assert found["keypoints"] == placed[parts.labeled].sum()


def test_thresholds_are_not_read_off_students_who_know_nothing(tmp_path: Path):
    made, asked = edited.make(tmp_path), {"pool.gate": "calibrated"}
    before = sorted((made.folder / "runs").iterdir())
    with Store(made.folder) as store:
        with pytest.raises(TrainingError, match="Start from a run") as caught:
            start_run(store, config.to_dict(config.make("best", "tiny", asked)))
        assert len(str(caught.value).splitlines()) == 2
        assert sorted((made.folder / "runs").iterdir()) == before
        start_run(store, config.to_dict(config.make("supervised", "tiny", asked)))
