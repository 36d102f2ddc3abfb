"""Take things away: stored predictions as COCO results. Also `posestudio export predictions`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio import evaluate as scoring
from posestudio.errors import NotFound
from posestudio.studio import beliefs
from posestudio.studio.json_form import write_json
from posestudio.studio.work import now

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio


def export_predictions(
    studio: "Studio",
    out: Path,
    *,
    run: str | None = None,
    student: str = "ensemble",
    split: str | None = None,
) -> dict[str, Any]:
    """Write the stored predictions of a run, or of an imported model, as COCO results; nothing is computed anew.

    Raises:
        NotFound: no such run or model, or it has predicted nobody.
    """
    name = run or studio.call("newest_run")["run_id"]
    rows = studio.call("predictions", run=name)
    rows = [row for row in rows if row["student"] in (student, "-")]
    snapshot = now(studio)
    people = (
        snapshot.people if split is None else snapshot.people.take(snapshot.people.split == split)
    )
    results = scoring.coco_results(people, *beliefs.points(rows, people), snapshot.skeleton)
    if not results:
        raise NotFound(
            f"{name} has predicted nobody here. Make predictions: posestudio predict --run {name} --out FILE"
        )
    write_json(out, results)
    return {"run_id": name, "student": student, "people": len(results), "out": str(out)}
