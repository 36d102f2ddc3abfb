"""Pages of photos: every filter says what the store says, and neighbors are those of the page."""

import itertools

import pytest

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound
from posestudio.store import gallery, images, labels, marks, people, photos
from posestudio.store.database import Store

K = len(COCO17.keypoints)


@pytest.fixture
def shown(store: Store, add_people) -> list[int]:
    """Ids of the people of eight photos: two labeled, two partly, three open, and one photo without anybody."""
    persons = add_people(6, "train") + add_people(1, "val")
    rows = [labels.NewLabel(p, k, "placed", 20.0, 30.0, 2) for p in persons[:2] for k in range(K)]
    rows += [labels.NewLabel(p, k, "placed", 20.0, 30.0, 1) for p in persons[2:4] for k in range(5)]
    store.write(lambda cursor: labels.import_many(cursor, rows))

    def job(cursor):
        (bare,) = images.add_many(cursor, [images.NewImage(f"{99:064x}", 60, 90)])
        source = images.add_source(cursor, "images", "x")
        names = {1: "Beach/One.jpg", 2: "beach/two.jpg", 3: "zoo.jpg", bare: "Attic.png"}
        images.add_image_sources(
            cursor, [images.ImageSource(i, source, name, i) for i, name in names.items()]
        )

    store.write(job)
    return persons


def ids(page: dict) -> list[int]:
    return [row["image_id"] for row in page["images"]]


def test_every_photo_has_one_status_and_the_counts_are_those_of_the_pages(store, shown):
    pages = {status: gallery.page(store, status=status) for status in gallery.STATUSES}
    assert {status: ids(page) for status, page in pages.items()} == {
        "labeled": [1, 2], "partly": [3, 4], "open": [5, 6, 7], "empty": [8],
    }  # fmt: skip
    counted = gallery.statuses(store)
    assert counted == {status: page["total"] for status, page in pages.items()} | {"hidden": 0}


def test_every_mix_of_people_has_exactly_one_status(store):
    """People: reviewed on import with and without a keypoint, begun, untouched; crowds and hidden ones beside them."""
    kinds = {"done": (True, 2), "bare": (True, 0), "begun": (False, 1), "new": (False, 0)}
    mixes = [mix for n in range(4) for mix in itertools.combinations_with_replacement(kinds, n)]

    def job(cursor):
        rows = [images.NewImage(f"{n:064x}", 100, 80) for n in range(len(mixes))]
        for image, mix in zip(images.add_many(cursor, rows), mixes, strict=True):
            for kind in mix:
                reviewed, points = kinds[kind]
                person = people.NewPerson(image, (1, 1, 9, 9), "file", reviewed_on_import=reviewed)
                (one,) = people.add_many(cursor, [person])
                new = [labels.NewLabel(one, k, "placed", 5.0, 5.0, 2) for k in range(points)]
                labels.import_many(cursor, new)
            people.add_many(cursor, [people.NewPerson(image, (1, 1, 9, 9), "drawn", iscrowd=True)])
            (gone,) = people.add_many(cursor, [people.NewPerson(image, (1, 1, 9, 9), "drawn")])
            people.hide(cursor, gone, True, "me", None)

    store.write(job)
    pages = {s: ids(gallery.page(store, status=s)) for s in gallery.STATUSES}
    assert sorted(sum(pages.values(), [])) == list(range(1, len(mixes) + 1))
    for image, mix in enumerate(mixes, start=1):
        done, touched = {"done", "bare"} >= set(mix), {"new"} != set(mix)
        status = "empty" if not mix else "labeled" if done else "partly" if touched else "open"
        assert image in pages[status], mix


def test_a_page_shows_each_photo_with_its_people_as_the_store_has_them(store, shown):
    second = people.add(store, 5, (0, 0, 30, 30), who="me")["instance_id"]
    page = gallery.page(store)
    assert page["total"] == 8 and ids(page) == list(range(1, 9))
    known = {row["instance_id"]: row for row in people.list_people(store)}
    for row in page["images"]:
        for person in row["people"]:
            same = known.pop(person["instance_id"])
            assert all(person[name] == same[name] for name in person if name != "marks")
            assert same["image_id"] == row["image_id"]
    assert known == {}
    assert [person["instance_id"] for person in page["images"][4]["people"]] == [shown[4], second]


def test_reviewed_follows_what_is_taught_at_once(store, add_people):
    persons = add_people(5, "train")  # fewer are asked for every keypoint
    rows = [labels.NewLabel(person, 3, "placed", 20.0, 30.0, 2) for person in persons]
    store.write(lambda c: labels.import_many(c, rows))
    assert gallery.page(store)["images"][0]["people"][0]["reviewed"]
    (other,) = add_people(1, "train")
    store.write(
        lambda c: labels.import_many(c, [labels.NewLabel(other, 4, "placed", 20.0, 30.0, 2)])
    )
    assert not gallery.page(store)["images"][0]["people"][0]["reviewed"]


def test_names_are_found_in_any_case_and_sorted(store, shown):
    assert ids(gallery.page(store, name="BEACH")) == [1, 2]
    assert ids(gallery.page(store, name="o")) == [1, 2, 3]
    assert gallery.page(store, name="100%")["total"] == 0
    assert ids(gallery.page(store, sort="name"))[:4] == [8, 1, 2, 3]
    assert ids(gallery.page(store, sort="newest")) == list(range(8, 0, -1))


def test_splits_and_marks_choose(store, shown):
    assert ids(gallery.page(store, split="val")) == [7]
    assert ids(gallery.page(store, split="unlabeled")) == [8]
    marks.add(store, shown[4], "flag", who="me", edit_id="m1")
    marks.add(store, shown[0], "comment", who="me", edit_id="m2", text="nice")
    page = gallery.page(store, mark="flag")
    assert ids(page) == [5] and page["images"][0]["people"][0]["marks"] == ["flag"]
    marks.add(store, shown[4], "unflag", who="me", edit_id="m3")
    assert gallery.page(store, mark="flag")["total"] == 0
    assert ids(gallery.page(store, mark="comment")) == [1]


def test_the_most_doubtful_first_and_those_without_a_doubt_last(store, shown):
    second = people.add(store, 5, (0, 0, 30, 30), who="me")["instance_id"]
    doubts = [(shown[4], 0.1), (second, 0.7), (shown[5], 0.4)]
    page = gallery.page(store, doubts=doubts, sort="doubt")
    assert ids(page)[:2] == [5, 6] and [row["doubt"] for row in page["images"][:3]] == [
        0.7,
        0.4,
        None,
    ]
    assert ids(gallery.page(store, doubts=doubts, least=0.5)) == [5]
    assert gallery.page(store, doubts=[], sort="doubt")["total"] == 8


def test_pages_are_cut_and_a_page_behind_the_last_is_empty_but_counted(store, shown):
    assert ids(gallery.page(store, limit=3, offset=3)) == [4, 5, 6]
    behind = gallery.page(store, limit=3, offset=30)
    assert behind == {"total": 8, "images": []}
    assert len(gallery.page(store, limit=10**9)["images"]) == 8
    assert ids(gallery.page(store, limit=-4, offset=-1)) == [1]


def test_a_photo_knows_its_neighbors_among_those_that_fit(store, shown):
    found = gallery.photo(store, 6, status="open")
    assert (found["before"], found["after"], found["place"], found["total"]) == (5, 7, 1, 3)
    turned = gallery.photo(store, 6, status="open", sort="newest")
    assert (turned["before"], turned["after"]) == (7, 5)
    elsewhere = gallery.photo(store, 1, status="open")
    assert elsewhere["place"] is None and elsewhere["file_name"] == "Beach/One.jpg"
    assert [person["instance_id"] for person in elsewhere["people"]] == [shown[0]]
    with pytest.raises(NotFound, match="no image 99"):
        gallery.photo(store, 99)


@pytest.mark.parametrize(
    "wrong", [{"status": "labelled"}, {"split": "test"}, {"sort": "random; DROP TABLE labels"}]
)
def test_unknown_words_are_refused(store, wrong):
    with pytest.raises(InputError):
        gallery.page(store, **wrong)


def test_text_in_a_filter_stays_text(store, shown):
    assert gallery.page(store, name="'; DROP TABLE labels; --")["total"] == 0
    assert gallery.page(store, mark="' OR 1=1 --")["total"] == 0
    assert gallery.page(store)["total"] == 8


def test_hidden_photos_are_shown_only_when_asked_for(store, shown):
    photos.hide(store, [5, 8], True, who="me", edit_id="e1")
    assert ids(gallery.page(store)) == [1, 2, 3, 4, 6, 7]
    assert ids(gallery.page(store, status="hidden")) == [5, 8]
    assert gallery.statuses(store)["hidden"] == 2
    assert gallery.photo(store, 5)["hidden"] and gallery.photo(store, 5)["people"] == []
    assert gallery.photo(store, 6, status="open")["before"] is None


def test_a_photo_names_who_was_hidden_on_it_but_not_who_went_with_it(store, shown):
    image = people.get(store, shown[0])["image_id"]
    other = people.add(store, image, (1, 1, 9, 9), who="me")["instance_id"]
    assert gallery.photo(store, image)["away"] == []
    people.set_hidden(store, shown[0], True, who="me")
    found = gallery.photo(store, image)
    assert [row["instance_id"] for row in found["people"]] == [other]
    assert [row["instance_id"] for row in found["away"]] == [shown[0]]
    assert found["away"][0]["reviewed"] and found["away"][0]["box_xywh"]
    photos.hide(store, [image], True, who="me", edit_id="away")
    assert gallery.photo(store, image)["away"] == []
