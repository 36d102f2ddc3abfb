"""Inspect over HTTP: everything about one person in one answer, maps as numbers that the page colors itself.

GET /api/inspect?instance=12&run=RUN answers a packet: 4 bytes with the length of a JSON header, the header (padded so
that what follows lies on even bytes), then its parts. Maps are little-endian uint16 of value * 10,000, clipped below at
0; 65535 means no value (a view did not see the cell). The page reads values off these numbers, not off colors.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from posestudio.errors import NotFound, PoseStudioError
from posestudio.studio.json_form import plain
from posestudio.studio.queue import FAR
from posestudio.studio.studio import Studio
from posestudio.ui import reads, sides, texts
from posestudio.ui.answers import own

SCALE = 10_000
"""Steps of a map's value in 1."""
NOTHING = 65_535
"""A cell without a value."""

Look = dict[str, Any]


def routes(studio: Studio) -> APIRouter:
    """The routes of Inspect."""
    router = APIRouter(route_class=own(studio))

    @router.get("/api/inspect")
    def inspect(instance: int | None = None, run: str | None = None) -> Response:
        try:
            return _answer(studio, instance, run)
        except PoseStudioError as error:
            return refusal(error)

    @router.get("/api/inspect/logged")
    def logged(instance: int, run: str) -> Response:
        try:
            return JSONResponse(plain(trained(studio, instance, run)))
        except PoseStudioError as error:
            return refusal(error)

    return router


def refusal(error: PoseStudioError) -> JSONResponse:
    """An error of the program as the pages' scripts expect it."""
    kind, status = ("not_found", 404) if isinstance(error, NotFound) else ("invalid", 400)
    return JSONResponse({"error": {"kind": kind, "message": str(error)}}, status)


def _answer(studio: Studio, instance: int | None, run: str | None) -> Response:
    if instance is None:
        first = studio.call("people", limit=1)
        if not first:
            return JSONResponse({"empty": texts.NO_PEOPLE})
        instance = int(first[0]["instance_id"])
    runs = reads.runs(studio)
    if not runs:
        return JSONResponse({"empty": texts.NO_RUN})
    person = studio.call("person", instance_id=instance)
    if person["split"] == "val" and not person["reviewed"]:
        beside_it = studio.call("document", instance_id=instance)["neighbors"]
        place = {"instance": instance, **beside_it}
        return JSONResponse({"empty": texts.BLIND_PERSON, "place": place})
    known = [number for number, _ in runs]
    chosen = run if run in known else known[0]
    look = reads.look(studio, instance, chosen)
    skeleton = studio.skeleton()
    head = {
        "runs": runs,
        "asked_run": run if run and run != chosen else None,
        **header(look, sides.of(skeleton), skeleton.limbs),
        **beside(studio, look),
    }
    return Response(
        packet(head, maps(look), photo(look["picture"])),
        media_type="application/octet-stream",
        headers={"Cache-Control": "no-store"},
    )


def maps(look: Look) -> dict[str, np.ndarray]:
    """The maps of a look by name, cells that a view did not see as NaN."""
    seen = np.broadcast_to(look["valid"], look["votes"].shape)
    return {
        "beliefs": look["maps"], "votes": np.where(seen, look["votes"], np.nan), "before": look["aggregated"],
        "after": look["offers"], "uncertainty": look["uncertainty_maps"], "targets": look["targets"],
    }  # fmt: skip


def packet(head: Mapping[str, Any], parts: Mapping[str, np.ndarray], picture: bytes) -> bytes:
    """Header, maps and a JPEG in one piece; see the module's docstring."""
    found, at, blobs = {}, 0, []
    for name, values in parts.items():
        blob = quantized(values).tobytes()
        found[name] = {"shape": list(values.shape), "at": at}
        at += len(blob)
        blobs.append(blob)
    whole = {**head, "parts": found, "photo": {"at": at, "bytes": len(picture)}, "scale": SCALE}
    text = json.dumps(plain(whole), ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *blobs, picture])


def quantized(values: np.ndarray) -> np.ndarray:
    """Values as little-endian uint16 in steps of 1 / SCALE, what is not finite as NOTHING."""
    steps = np.clip(np.nan_to_num(values) * SCALE, 0, NOTHING - 1).round().astype("<u2")
    return np.where(np.isfinite(values), steps, np.array(NOTHING, "<u2"))


def photo(pixels: np.ndarray) -> bytes:
    """A picture (H, W, 3) RGB as JPEG."""
    done, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    if not done:
        raise ValueError("the crop cannot be encoded")
    return content.tobytes()


def header(look: Look, side: list[str], limbs: Any) -> dict[str, Any]:
    """Everything of a look but its maps, points in crop pixels, rounded."""
    matrix = np.vstack([look["matrix"], [0, 0, 1]])
    return {
        "run": look["run_id"],
        "split": look["instance"].get("split"),
        "students": look["students"],
        "voters": look["voters"],
        "views": [texts.spoken(name) for name in look["views"]],
        "crop": list(look["crop"].shape[:2]),
        "to_image": np.linalg.inv(matrix)[:2],
        "limbs": limbs,
        "method": texts.method_words(look),
        "shared": look["config"].pool.share,
        "points": np.round(look["points"], 2),
        "scores": np.round(look["scores"], 4),
        "vote_peaks": np.round(look["vote_peaks"], 2),
        "vote_scores": np.round(look["vote_scores"], 4),
        "agrees": look["agrees"],
        "accepted": look["accepted"],
        "uncertainty": np.round(look["uncertainty"], 4),
        "chosen": look["chosen"],
        "keypoints": [_keypoint(look, k, side[k]) for k in range(len(look["keypoints"]))],
        "far": FAR,
    }


def _keypoint(look: Look, k: int, side: str) -> dict[str, Any]:
    label = None
    if look["label_v"][k] > 0:
        label = {"xy": np.round(look["label_points"][k], 2), "v": int(look["label_v"][k])}
    return {
        "name": look["keypoints"][k],
        "spoken": texts.spoken(look["keypoints"][k]),
        "side": side,
        "taught": bool(look["taught"][k]),
        "label": label,
        "absent": texts.absent_reason(look["instance"], k),
        "apart": apart(look, k),
        "why": texts.why(look, k),
        "reasons": [row[k] for row in look["reasons"]],
        "candidates": look["candidates"][k],
    }


def apart(look: Look, k: int) -> dict[str, float] | None:
    """Distance of the students' peaks in image pixels, and over the height of the box; None with one student."""
    if len(look["students"]) < 2:
        return None
    scale = float(np.hypot(look["matrix"][0, 0], look["matrix"][1, 0]))
    pixels = float(np.linalg.norm(look["points"][0, k] - look["points"][1, k])) / scale
    return {"px": round(pixels, 1), "share": round(pixels / look["instance"]["box_xywh"][3], 4)}


def beside(studio: Studio, look: Look) -> dict[str, Any]:
    """What the store knows besides.

    Returns:
        place (instance, before, after), facts (name and value), errors (K, probability that the run's prediction is
        wrong, None where nothing is said), calibrated, others (what imported models predict, in crop pixels).
    """
    instance = look["instance"]["instance_id"]
    known = studio.call("document", instance_id=instance, run=look["run_id"])
    predicted = [keypoint["prediction"] or {} for keypoint in known["keypoints"]]
    others = [
        {
            "name": row["model"],
            "stale": row["stale"],
            "points": np.round(_to_crop(look["matrix"], row), 2),
            "scores": np.round(row["score"], 4),
        }
        for row in studio.call("person_predictions", instance_id=instance)
        if row["run_id"] is None and len(row["x"]) == len(look["keypoints"])
    ]
    return {
        "place": {"instance": instance, **known["neighbors"]},
        "facts": reads.facts(look["instance"], known, len(look["keypoints"])),
        "errors": [one.get("error") for one in predicted],
        "calibrated": known["calibrated"],
        "blind": known["blind"],
        "others": others,
    }


def _to_crop(matrix: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """Image points (K, 2) of a prediction in crop pixels."""
    xy_image = np.stack([row["x"], row["y"]], axis=-1)
    return xy_image @ matrix[:, :2].T + matrix[:, 2]


def trained(studio: Studio, instance: int, run: str) -> dict[str, Any]:
    """What a run's training wrote down about a person: `inspect.logged` with a sentence for each row."""
    from posestudio.studio import inspect  # lazy: torch

    steps = inspect.logged(studio, instance, run)
    for step in steps:
        step["rows"] = [{**row, "words": texts.logged_words(row)} for row in step["rows"]]
    return {"run": run, "steps": steps}
