"""The tables of the label store, as named steps that each ran once in a transaction of their own.

A released step is never edited; a change is a further step. A store that knows a step which this program does not was
written by a newer version and is refused.
"""

from typing import TYPE_CHECKING, Any

from posestudio.errors import StoreError

if TYPE_CHECKING:
    from posestudio.store.database import Database

FIRST = """
CREATE TABLE migrations (name VARCHAR PRIMARY KEY, "at" TIMESTAMP NOT NULL);
CREATE TABLE meta (key VARCHAR PRIMARY KEY, value VARCHAR NOT NULL);
CREATE SEQUENCE source_ids;
CREATE SEQUENCE group_ids;
CREATE SEQUENCE image_ids;
CREATE SEQUENCE instance_ids;
CREATE SEQUENCE box_revisions;
CREATE SEQUENCE label_revisions;
CREATE SEQUENCE prediction_ids;

CREATE TABLE sources (
    source_id BIGINT PRIMARY KEY, kind VARCHAR NOT NULL, path VARCHAR NOT NULL, header JSON,
    added_at TIMESTAMP NOT NULL);
CREATE TABLE groups (
    group_id BIGINT PRIMARY KEY, split VARCHAR NOT NULL, fold BOOLEAN NOT NULL,
    CHECK (split IN ('train', 'val', 'unlabeled')));
CREATE TABLE images (
    image_id BIGINT PRIMARY KEY, sha256 VARCHAR NOT NULL UNIQUE, width INTEGER NOT NULL, height INTEGER NOT NULL,
    phash UBIGINT, group_id BIGINT NOT NULL, link_path VARCHAR, added_at TIMESTAMP NOT NULL,
    CHECK (width > 0 AND height > 0));
CREATE TABLE image_sources (
    image_id BIGINT NOT NULL, source_id BIGINT NOT NULL, file_name VARCHAR NOT NULL, coco_id BIGINT, extra JSON,
    position BIGINT NOT NULL);
CREATE TABLE instances (
    instance_id BIGINT PRIMARY KEY, image_id BIGINT NOT NULL, source_id BIGINT, coco_id BIGINT,
    category_id BIGINT NOT NULL, iscrowd BOOLEAN NOT NULL, area DOUBLE, area_source VARCHAR,
    reviewed_on_import BOOLEAN NOT NULL, extra JSON, created_at TIMESTAMP NOT NULL);

CREATE TABLE box_journal (
    box_revision BIGINT PRIMARY KEY, instance_id BIGINT NOT NULL, x DOUBLE NOT NULL, y DOUBLE NOT NULL,
    w DOUBLE NOT NULL, h DOUBLE NOT NULL, source VARCHAR NOT NULL, hidden BOOLEAN NOT NULL, who VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL, edit_id VARCHAR,
    CHECK (isfinite(x) AND isfinite(y) AND isfinite(w) AND isfinite(h) AND w > 0 AND h > 0));
CREATE VIEW boxes_now AS
    SELECT * FROM box_journal
    QUALIFY row_number() OVER (PARTITION BY instance_id ORDER BY box_revision DESC) = 1;

CREATE TABLE label_journal (
    revision BIGINT PRIMARY KEY, instance_id BIGINT NOT NULL, keypoint SMALLINT NOT NULL, state VARCHAR NOT NULL,
    x DOUBLE, y DOUBLE, v TINYINT NOT NULL, reason VARCHAR, who VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL,
    origin VARCHAR NOT NULL, run_id VARCHAR, queued_for VARCHAR, seconds DOUBLE, follows BIGINT, edit_id VARCHAR,
    undoes VARCHAR,
    CHECK (origin IN ('import', 'edit', 'accept', 'undo')),
    CHECK (keypoint >= 0),
    CHECK (follows IS NULL OR follows < revision),
    CHECK (coalesce(
        (state = 'placed' AND v IN (1, 2) AND isfinite(x) AND isfinite(y) AND reason IS NULL)
        OR (state = 'absent' AND v = 0 AND x IS NULL AND y IS NULL AND reason IN ('outside', 'cannot tell'))
        OR (state = 'open' AND v = 0 AND x IS NULL AND y IS NULL AND reason IS NULL), false)));
CREATE VIEW labels_now AS
    SELECT instance_id, keypoint, revision, state, x, y, v, reason, who, "at", origin
    FROM label_journal
    QUALIFY row_number() OVER (PARTITION BY instance_id, keypoint ORDER BY revision DESC) = 1;
CREATE TABLE labels (
    instance_id BIGINT, keypoint SMALLINT, revision BIGINT NOT NULL, state VARCHAR NOT NULL, x DOUBLE, y DOUBLE,
    v TINYINT NOT NULL, reason VARCHAR, who VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL, origin VARCHAR NOT NULL,
    PRIMARY KEY (instance_id, keypoint));

CREATE VIEW taught_keypoints AS
    SELECT DISTINCT keypoint
    FROM labels JOIN instances USING (instance_id) JOIN boxes_now USING (instance_id)
    JOIN images USING (image_id) JOIN groups USING (group_id)
    WHERE state = 'placed' AND split = 'train' AND NOT iscrowd AND NOT hidden;
CREATE VIEW needed_keypoints AS
    SELECT keypoint FROM (
        SELECT unnest(range(json_array_length(value::JSON, 'keypoints')::BIGINT)) AS keypoint
        FROM meta WHERE key = 'skeleton')
    WHERE keypoint IN (SELECT keypoint FROM taught_keypoints) OR NOT EXISTS (SELECT keypoint FROM taught_keypoints);
CREATE VIEW people_now AS
    SELECT instances.*, sha256, coalesce(link_path, 'images/' || sha256) AS image_path, width, height, group_id,
        CASE WHEN groups.split = 'train' AND coalesce(placed + absent, 0) = 0 THEN 'unlabeled'
            ELSE groups.split END AS split,
        fold AND groups.split = 'train' AND coalesce(placed + absent, 0) > 0 AS fold,
        b.x, b.y, b.w, b.h, box_revision, b.source AS box_source, hidden,
        coalesce(placed, 0) AS placed, coalesce(absent, 0) AS absent,
        reviewed_on_import OR (coalesce(placed + absent, 0) > 0
            AND needed = (SELECT count(*) FROM needed_keypoints)) AS reviewed
    FROM instances JOIN boxes_now b USING (instance_id) JOIN images USING (image_id) JOIN groups USING (group_id)
    LEFT JOIN (
        SELECT instance_id, count(*) FILTER (state = 'placed') AS placed, count(*) FILTER (state = 'absent') AS absent,
            count(*) FILTER (state <> 'open' AND keypoint IN (SELECT keypoint FROM needed_keypoints)) AS needed
        FROM labels GROUP BY instance_id) USING (instance_id);

CREATE TABLE predictions (
    prediction_id BIGINT PRIMARY KEY, run_id VARCHAR, model VARCHAR NOT NULL, instance_id BIGINT NOT NULL,
    box_revision BIGINT NOT NULL, student VARCHAR NOT NULL, x DOUBLE[] NOT NULL, y DOUBLE[] NOT NULL,
    score DOUBLE[] NOT NULL, "at" TIMESTAMP NOT NULL);
CREATE TABLE uncertainties (
    run_id VARCHAR NOT NULL, instance_id BIGINT NOT NULL, keypoint SMALLINT NOT NULL, uncertainty DOUBLE,
    error_probability DOUBLE, distance_px DOUBLE, reason VARCHAR);
CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY, status VARCHAR NOT NULL, preset VARCHAR, size VARCHAR, snapshot_id VARCHAR,
    from_run VARCHAR, created_at TIMESTAMP NOT NULL, ended_at TIMESTAMP, metrics JSON);
CREATE TABLE snapshots (
    snapshot_id VARCHAR PRIMARY KEY, created_at TIMESTAMP NOT NULL, people BIGINT NOT NULL, labeled BIGINT NOT NULL);
CREATE TABLE tombstones (
    kind VARCHAR NOT NULL, id BIGINT NOT NULL, who VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL);
CREATE INDEX label_journal_instance ON label_journal (instance_id);
CREATE INDEX box_journal_instance ON box_journal (instance_id);
CREATE INDEX label_journal_edit ON label_journal (edit_id);
"""

MARKS = """
CREATE SEQUENCE mark_ids;
CREATE TABLE marks (
    mark_id BIGINT PRIMARY KEY, instance_id BIGINT NOT NULL, kind VARCHAR NOT NULL, keypoint SMALLINT, text VARCHAR,
    who VARCHAR NOT NULL, "at" TIMESTAMP NOT NULL, edit_id VARCHAR NOT NULL,
    CHECK (kind IN ('skip', 'cannot_tell', 'flag', 'unflag', 'comment', 'seen')),
    CHECK (keypoint IS NULL OR keypoint >= 0),
    CHECK (kind <> 'comment' OR text IS NOT NULL));
CREATE INDEX marks_instance ON marks (instance_id);
CREATE INDEX marks_edit ON marks (edit_id);
CREATE INDEX box_journal_edit ON box_journal (edit_id);
INSERT INTO meta VALUES ('project_id', uuid()::VARCHAR);
"""

HIDDEN_IMAGES = """
CREATE SEQUENCE image_revisions;
CREATE TABLE image_journal (
    revision BIGINT PRIMARY KEY, image_id BIGINT NOT NULL, hidden BOOLEAN NOT NULL, who VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL, edit_id VARCHAR NOT NULL);
CREATE VIEW hidden_images AS
    SELECT image_id FROM image_journal GROUP BY image_id HAVING arg_max(hidden, revision);
"""

NEEDED = """
CREATE OR REPLACE VIEW needed_keypoints AS
    SELECT keypoint FROM (
        SELECT unnest(range(json_array_length(value::JSON, 'keypoints')::BIGINT)) AS keypoint
        FROM meta WHERE key = 'skeleton')
    WHERE keypoint IN (SELECT keypoint FROM taught_keypoints) OR NOT EXISTS (SELECT keypoint FROM taught_keypoints)
        OR (SELECT count(DISTINCT instance_id) FROM labels WHERE state = 'placed') < 5;
"""
"""Which keypoints a person must decide: those that a label of train shows. Until five people are labeled, all: what the
first ones happen to show says little."""

STEPS: tuple[tuple[str, str], ...] = (
    ("0001_first", FIRST),
    ("0002_marks", MARKS),
    ("0003_hidden_images", HIDDEN_IMAGES),
    ("0004_needed", NEEDED),
)
"""(name, SQL) in the order in which they run."""


def migrate(database: "Database") -> list[str]:
    """Run the steps that the store has not seen; returns their names.

    Raises:
        StoreError: the store was written by a newer version, or is some other program's DuckDB file.
    """
    rows = database.read("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
    tables = {row["table_name"] for row in rows}
    seen: set[str] = set()
    if "migrations" in tables:
        seen = {row["name"] for row in database.read("SELECT name FROM migrations")}
    elif tables:
        raise StoreError(
            f"{database.path} is a DuckDB file of another program, not a label store.\n"
            "Choose another project folder."
        )
    newer = sorted(seen - {name for name, _ in STEPS})
    if newer:
        raise StoreError(
            f"The label store {database.path} was written by a newer PoseStudio (it has {newer[-1]}).\n"
            "Update PoseStudio, or use a backup made before that update."
        )
    done = []
    for name, sql in STEPS:
        if name not in seen:
            database.write(lambda cursor, name=name, sql=sql: _apply(cursor, name, sql))
            done.append(name)
    return done


def _apply(cursor: Any, name: str, sql: str) -> None:
    cursor.execute(sql)
    cursor.execute("""INSERT INTO migrations VALUES (?, now() AT TIME ZONE 'UTC')""", [name])
