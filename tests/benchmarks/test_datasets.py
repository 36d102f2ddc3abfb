"""A budget shows the labels it says and no others, and nobody who judges is ever learned from."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import datasets
from posestudio.errors import InputError
from posestudio.store import snapshots
from posestudio.store.snapshots import OPEN, PLACED
from tests.benchmarks import crosses

BUDGETS = (50, 100, 200, 500, 1000)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    return crosses.dataset(tmp_path_factory.mktemp("crosses") / "project")


@pytest.fixture(scope="module")
def lspet(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    work = tmp_path_factory.mktemp("work")
    return datasets.open_dataset("lspet", shared_data / "lspet", work)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_budgets_nest_within_a_seed(small: datasets.Dataset, seed: int):
    shown = [small.labeled(budget, seed) for budget in (4, 7, 12)]
    assert [one.sum() for one in shown] == [4, 7, 12]
    for less, more in zip(shown, shown[1:], strict=False):
        assert not (less & ~more).any()
    assert not (shown[-1] & ~small.may_label).any()


def test_seed_0_takes_the_given_list_and_others_draw(small: datasets.Dataset):
    names = np.array(small.learnable.file_name)
    assert set(names[small.labeled(3, 0)]) == {"1.png", "4.png", "9.png"}
    drawn = {tuple(names[small.labeled(3, seed)]) for seed in range(1, 6)}
    assert len(drawn) > 1 and drawn == {tuple(names[small.labeled(3, s)]) for s in range(1, 6)}


def test_a_snapshot_hides_every_label_beyond_the_budget(small: datasets.Dataset):
    people = small.snapshot(3, 0).people
    known = small.labeled(3, 0)
    assert (people.state[known] == PLACED).all() and (people.state[~known] == OPEN).all()
    assert np.isnan(people.xy_image[~known]).all() and np.isfinite(people.xy_image[known]).all()
    assert (people.visibility[~known] == 0).all() and not people.reviewed[~known].any()
    assert set(people.split[known]) == {"train"} and set(people.split[~known]) == {"unlabeled"}


def test_all_labels_are_those_that_a_budget_may_show(small: datasets.Dataset):
    everyone = small.snapshot(None, 0).people
    assert ((everyone.state == PLACED).any(axis=1) == small.may_label).all()
    answers = small.people("unlabeled_answers")
    assert (answers.state == PLACED).all() and len(answers) == (~small.may_label).sum()


def test_snapshots_share_people_and_boxes_so_crops_are_cut_once(small: datasets.Dataset):
    one, other = small.snapshot(3, 0).people, small.snapshot(7, 4).people
    assert one.image_path == other.image_path and (one.box_xywh == other.box_xywh).all()


def test_a_kept_snapshot_reads_back_under_its_id(small: datasets.Dataset):
    snapshot = small.snapshot(7, 2)
    assert datasets.keep(small, snapshot) == datasets.keep(small, snapshot) == snapshot.id
    read = snapshots.read(small.project / "snapshots" / snapshot.id)
    assert snapshots.content_id(read.people, read.skeleton) == snapshot.id
    assert (read.taught == snapshot.taught).all()


def test_what_cannot_be_is_said(small: datasets.Dataset, tmp_path: Path):
    with pytest.raises(InputError, match="12 people that may be labeled, got budget 13"):
        small.labeled(13, 0)
    with pytest.raises(InputError, match="no split 'test'"):
        small.people("test")
    with pytest.raises(InputError, match="Is --data right"):
        datasets.open_dataset("lspet", tmp_path, tmp_path)
    with pytest.raises(InputError, match="Unknown dataset 'coco'"):
        datasets.open_dataset("coco", tmp_path, tmp_path)


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("budget", [*BUDGETS, None])
def test_nobody_who_judges_lspet_is_in_a_snapshot(
    lspet: datasets.Dataset, shared_data: Path, budget: int | None, seed: int
):
    judges = {
        name
        for split in datasets.JUDGES
        for name in (shared_data / "lspet" / "splits" / f"{split}.txt").read_text().split()
    }
    assert len(judges) == 2500
    people = lspet.snapshot(budget, seed).people
    assert len(people) == 7000 and not judges & set(people.file_name)
    labeled = set(np.array(people.file_name)[people.split == "train"])
    answers = set((shared_data / "lspet" / "splits" / "unlabeled.txt").read_text().split())
    assert len(labeled) == (budget or 1000) and not labeled & answers
    assert ((people.state == PLACED).any(axis=1) == (people.split == "train")).all()


def test_lspet_gives_its_own_lists_and_judges(lspet: datasets.Dataset, shared_data: Path):
    folder = shared_data / "lspet" / "splits"
    for budget in BUDGETS:
        people = lspet.snapshot(budget, 0).people
        labeled = set(np.array(people.file_name)[people.split == "train"])
        assert labeled == set((folder / f"train_labeled_{budget}.txt").read_text().split())
    for split in datasets.JUDGES:
        judges = lspet.people(split)
        assert set(judges.file_name) == set((folder / f"{split}.txt").read_text().split())
        assert (judges.state == PLACED).any(axis=1).all()
    assert lspet.snapshot(100, 3).taught.tolist() == [False] * 5 + [True] * 12
