"""Train, Evaluate and Export in a real browser: a run is followed over reloads and restarts, scored, and taken away."""

import json
import os
import re
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from posestudio.events import Stepped
from posestudio.studio.studio import Studio
from posestudio.train.run_folder import RunFolder
from tests.ui.browsers import LEFT, App, Seen, looking

pytestmark = pytest.mark.browser
WAIT = 180_000


@pytest.fixture
def seen(app: App, browser: Browser) -> Iterator[Seen]:
    with looking(browser, app, WAIT, let=LEFT) as found:
        yield found


def until(done: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT / 1000
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def steps_done(page: Page) -> int:
    """Steps that the panel says are done; 0 before it says any."""
    found = re.search(r"([\d,]+) of [\d,]+ steps", page.inner_text("#ps-panel"))
    return int(found[1].replace(",", "")) if found else 0


def begin(page: Page, app: App, steps: int) -> RunFolder:
    """Start a training on labels alone from the form; the page is at its address afterwards."""
    page.goto(f"{app.address}/train")
    expect(page.locator("#ps-train")).to_be_enabled()
    known = {path.name for path in (app.project / "runs").iterdir()}
    page.locator("#ps-preset input").click()
    page.get_by_role("option", name="supervised").click()
    page.get_by_label("steps", exact=True).check()
    page.locator("#ps-steps input").fill(str(steps))
    page.get_by_role("button", name="The same on the command line").click()
    expect(page.locator(".ps-command pre")).to_contain_text(f"--steps {steps}")
    expect(page.locator(".ps-command pre")).to_contain_text("--preset supervised")
    page.locator("#ps-train").click()
    page.wait_for_url("**run=*")
    until(lambda: {path.name for path in (app.project / "runs").iterdir()} > known, "no new run")
    (name,) = {path.name for path in (app.project / "runs").iterdir()} - known
    expect(page.locator("#ps-panel h2")).to_have_text(name)
    return RunFolder(app.project / "runs" / name)


def stepped(folder: RunFolder) -> int:
    return max((event.step for event in folder.events() if isinstance(event, Stepped)), default=0)


def no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_run_is_watched_over_a_reload_stopped_and_resumed(app: App, seen: Seen):
    page = seen.page
    folder = begin(page, app, 4000)
    expect(page.get_by_role("button", name="Training", exact=True)).to_be_disabled()
    until(lambda: steps_done(page) > 0, "no progress on the page")
    before = steps_done(page)
    page.reload()
    expect(page.locator("#ps-panel h2")).to_have_text(folder.path.name)
    until(lambda: steps_done(page) > before, "no further progress after the reload")
    expect(page.locator("#ps-curves .js-plotly-plot")).to_be_visible()
    no_sideways_scroll(page)

    second = page.context.new_page()  # another tab shows the same run without being told which
    second.goto(f"{app.address}/train")
    expect(second.locator("#ps-panel h2")).to_have_text(folder.path.name)
    second.close()

    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("stopped")
    expect(page.locator("#ps-result .ps-score")).to_contain_text("AP")
    said = page.inner_text("#ps-result")
    assert "before it" in said and "rough" in said
    stored = json.loads((folder.path / "scores.json").read_text())["val-ensemble"]
    pck = stored["pck@0.2"]
    assert f"{pck:.0%} of the keypoints are within 0.2" in said
    assert folder.status() == "stopped" and folder.students()
    link = page.get_by_role("link", name="Correct the new queue").get_attribute("href")
    assert link == "correct?run=", "the newest run, and those that come later"

    # the next run goes on from these students without a reload
    expect(page.locator("#ps-start input")).to_have_value(f"the students of {folder.path.name}")
    assert "labels that it began with" in page.inner_text("#ps-panel")

    kept = folder.metrics()["steps"]
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("training")
    until(lambda: stepped(folder) > kept, "it did not go on from where it was")
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("stopped")
    expect(page.locator("#ps-result .ps-score")).to_be_visible()
    expect(page.locator("#ps-runs tr[aria-current]")).to_contain_text(folder.path.name)


HEAR = """() => {
  window.heard = new Set();
  const hear = () => heard.add(document.querySelector('#ps-panel .ps-chip')?.textContent);
  new MutationObserver(hear).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
"""Keeps all that the chip of the run's state says."""


def test_people_who_came_in_since_are_predicted_by_one_button(app: App, seen: Seen):
    page, studio = seen.page, Studio(app.project)
    run = studio.call("newest_run")["run_id"]
    button = page.get_by_role("button", name="Predict 1 new person")
    page.goto(f"{app.address}/train?run={run}")
    expect(page.locator("#ps-panel h2")).to_have_text(run)
    expect(button).to_be_hidden()
    image = studio.call("images")[0]["image_id"]
    studio.call("add_person", image_id=image, box_xywh=[4.0, 5.0, 60.0, 90.0], who="me")
    page.reload()
    expect(button).to_be_visible()
    page.evaluate(HEAR)  # results of one person may be there before we look
    button.click()
    page.wait_for_function("heard.has('making its results')")
    expect(button).to_be_hidden()
    until(lambda: studio.call("unpredicted", run=run)["people"] == 0, "nobody was predicted")


def test_train_on_starts_from_the_run_in_view_and_a_form_in_hand_stays(app: App, seen: Seen):
    page, studio = seen.page, Studio(app.project)
    oldest = studio.call("runs")[-1]["run_id"]
    page.goto(f"{app.address}/train?run={oldest}")
    page.get_by_role("link", name="Train on").click()
    expect(page.locator("#ps-start input")).to_have_value(f"the students of {oldest}")
    page.wait_for_function("!window.location.search.includes('from=')")
    folder = begin(page, app, 30)
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("done")
    expect(page.locator("#ps-start input")).to_have_value(f"the students of {folder.path.name}")
    expect(page.locator("#ps-steps input")).to_have_value("30")
    page.locator("#ps-steps input").fill("4000")  # stopped by hand
    expect(page.locator(".ps-command pre")).to_contain_text("--steps 4000")
    page.locator("#ps-train").click()
    page.wait_for_function(f"!window.location.search.includes('{folder.path.name}')")
    page.locator("#ps-steps input").fill("77")  # the form is taken in hand while that run goes on
    page.locator("#ps-steps input").press("Tab")
    expect(page.locator(".ps-command pre")).to_contain_text("--steps 77")
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#ps-result .ps-score")).to_be_visible()
    expect(page.get_by_role("button", name="Train", exact=True)).to_be_enabled()
    page.locator("#ps-start input").click()
    last = studio.call("newest_run")["run_id"]
    expect(page.get_by_role("option", name=last)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#ps-start input")).to_have_value(f"the students of {folder.path.name}")
    expect(page.locator("#ps-steps input")).to_have_value("77")


def begins(answer: Response) -> bool:
    """Whether an answer is to the press of Evaluate: an event with the five choices alone."""
    sent = answer.request.post_data or ""
    return "queue/join" in answer.url and json.loads(sent)["data"][1:] == ["val", "a", False, ""]


SAYS_READING = """() =>
  getComputedStyle(document.querySelector('#ps-scores'), '::before').content.includes('Reading')"""


def test_a_score_is_made_kept_and_leads_to_the_worst_person(app: App, seen: Seen):
    page = seen.page
    page.goto(f"{app.address}/evaluate?student=a")
    page.locator(".ps-empty", has_text="Not evaluated yet").wait_for()
    with page.expect_response(begins):  # a reload in the same moment would take the click back
        page.locator("#ps-evaluate").click()
    page.reload()  # the job is the app's, not this page's
    page.locator(".ps-numbers-ten").wait_for()
    run = page.locator("#ps-run input").input_value()
    stored = json.loads((app.project / "runs" / run / "scores.json").read_text())["val-a"]
    assert f"{100 * stored['AP']:.1f}" in page.inner_text(".ps-numbers-ten div:first-child")
    assert "Rough" in page.inner_text("#ps-scores") and ".107" in page.inner_text("#ps-scores")
    for name in ("#ps-kinds", "#ps-oks", "#ps-curve"):
        expect(page.locator(f"{name} .js-plotly-plot")).to_be_visible()
    assert "A curve needs 3 different ones" in page.inner_text("body")
    no_sideways_scroll(page)

    page.route("**/queue/join*", lambda _: None)  # reading takes long
    page.get_by_role("radio", name="train").check()
    page.wait_for_function(SAYS_READING)
    page.unroute("**/queue/join*")  # what waits goes on
    page.locator(".ps-empty", has_text="Not evaluated yet").wait_for()
    expect(page.locator("body.ps-reading")).to_have_count(0)
    page.get_by_role("radio", name="val").check()

    worst = stored["worst"][0]["instance_id"]
    case = page.locator(".ps-case").first
    assert f"person {worst}" in case.inner_text()
    page.wait_for_function("document.querySelector('.ps-case img').naturalWidth > 0")
    expect(case.locator("svg .ps-label")).to_be_visible()
    expect(case.locator("svg .ps-predicted")).to_be_visible()
    assert (
        case.get_by_role("link", name="Correct").get_attribute("href")
        == f"correct?instance={worst}&run={run}"
    )
    case.get_by_role("link", name="Inspect").click()
    page.wait_for_url(f"**/inspect?instance={worst}&run={run}*")


def test_what_is_exported_reads_back(app: App, seen: Seen, tmp_path: Path):
    page = seen.page
    page.goto(f"{app.address}/export")
    page.locator("#ps-make-predictions").click()
    link = page.locator(".ps-downloads a", has_text="predictions").first
    with page.expect_download() as waiting:
        link.click()
    got = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(got)
    if got.suffix == ".zip":  # people of train and val: a file for each file of labels
        with zipfile.ZipFile(got) as archive:
            assert archive.namelist() == ["predictions-train.json", "predictions-val.json"]
            rows = [row for name in archive.namelist() for row in json.loads(archive.read(name))]
    else:
        rows = json.loads(got.read_text())
    assert len(rows) >= 20 and {len(row["keypoints"]) for row in rows} == {51}
    assert waiting.value.suggested_filename == link.inner_text()
    page.locator("#ps-make-coco").click()
    with page.expect_download() as waiting:
        page.locator(".ps-downloads a", has_text="coco").first.click()
    assert waiting.value.suggested_filename.startswith("posestudio-coco-")
    page.reload()
    expect(page.locator(".ps-downloads li")).to_have_count(2)
    no_sideways_scroll(page)


def test_a_crash_leaves_a_run_that_resumes_and_a_close_ends_it_cleanly(app: App, seen: Seen):
    page = seen.page
    folder = begin(page, app, 4000)
    until(lambda: steps_done(page) > 0, "no progress on the page")
    app.kill()
    app.start()
    page.goto(f"{app.address}/train")
    expect(page.locator("#ps-panel h2")).to_have_text(folder.path.name)
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("interrupted")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("training")
    until(lambda: stepped(folder) > 0, "it did not go on")
    page.goto("about:blank")
    assert app.process is not None
    os.kill(app.process.pid, signal.SIGINT)
    assert app.process.wait(120) == 0
    assert folder.status() == "stopped" and folder.students()
    assert not (app.project / "owner.json").exists()
