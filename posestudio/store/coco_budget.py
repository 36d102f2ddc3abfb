"""Which images of a COCO file keep their labels: a label budget, to start from few labels or to compare budgets."""

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from posestudio.errors import InputError
from posestudio.store.coco_read import CocoFile


def choose(
    parsed: CocoFile,
    labeled: int | str | Path | Sequence[str] | None,
    seed: int,
    *,
    notes: list[str],
) -> set[int] | None:
    """Ids of the images that keep their labels; None for all.

    Args:
        parsed: the checked file.
        labeled: None for all; a number N for the first N images of one seeded permutation of those with a labeled
            person, so that a smaller budget is part of a larger one; or file names, as a list or in a text file.
        seed: of the permutation.
        notes: told when the file has fewer labeled images than asked for.

    Raises:
        InputError: a number below 0, an unreadable list, or names that the file does not have.
    """
    if labeled is None:
        return None
    if isinstance(labeled, int) or (isinstance(labeled, str) and labeled.lstrip("-").isdecimal()):
        return _first(parsed, int(labeled), seed, notes)
    names = _listed(Path(labeled)) if isinstance(labeled, (str, Path)) else list(labeled)
    by_name: dict[str, list[int]] = defaultdict(list)
    for image in parsed.images:
        by_name[image.file_name].append(image.coco_id)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise InputError(
            f"{len(unknown):,} of the {len(names):,} names of --labeled are not in {parsed.path.name}, "
            f"such as {', '.join(unknown[:3])}."
        )
    return {coco_id for name in names for coco_id in by_name[name]}


def _first(parsed: CocoFile, count: int, seed: int, notes: list[str]) -> set[int]:
    if count < 0:
        raise InputError(f"--labeled must be 0 or more, got {count}.")
    people = {one.image_id for one in parsed.annotations if one.labeled and not one.iscrowd}
    able = [image.coco_id for image in parsed.images if image.coco_id in people]
    if count > len(able):
        notes.append(f"{count:,} labeled images were asked for; the file has {len(able):,}")
    random.Random(seed).shuffle(able)
    return set(able[:count])


def _listed(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--labeled takes a number or a text file of file names; {path} cannot be read."
        ) from error
    return [line.strip() for line in lines if line.strip()]
