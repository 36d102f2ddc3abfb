// Tests of the editor's modules that need no page. Run by tests/ui/test_editor_js.py, in node or in a browser.

import { Away, Refused, Server } from "./editor/api.js";
import { COMMANDS } from "./editor/commands.js";
import { Deeds } from "./editor/deeds.js";
import { Camera, around, boxBetween, dragged, grown, inside, isInside } from "./editor/geometry.js";
import { Heat, decode, placement, plane, table } from "./editor/heat.js";
import { GESTURES, TABLE, bound, chord } from "./editor/keys.js";
import { History, Person, limbFrom } from "./editor/model.js";
import { Outbox, onTheWire } from "./editor/outbox.js";
import { look, predict } from "./editor/predicting.js";
import { Page } from "./editor/page.js";
import { deedWords, sure } from "./editor/panel.js";
import { People } from "./editor/people.js";
import { Queue, Stopwatch } from "./editor/queue.js";
import { listenToOutbox } from "./editor/saving.js";
import { WHOLE } from "./editor/whole.js";
import { nameFault } from "./editor/wiring.js";
import { clock, listed, percent } from "./editor/dom.js";

const NAMES = [
  "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
  "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
];
const SKELETON = {
  keypoints: NAMES,
  limbs: [
    [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9], [8, 10], [1, 2],
    [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6],
  ],
  flip: [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15],
  sides: NAMES.map((name) => (name.startsWith("left") ? "left" : name.startsWith("right") ? "right" : "center")),
};
const [NOSE, L_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST] = [0, 5, 7, 8, 9, 10];

function assert(fine, words = "is not true") {
  if (!fine) throw new Error(words);
}

function equal(got, wanted, words = "") {
  const [a, b] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${words} got ${a}, wanted ${b}`);
}

function near(got, wanted, by = 1e-9) {
  if (!(Math.abs(got - wanted) <= by)) throw new Error(`got ${got}, wanted ${wanted}`);
}

/** Numbers in [0, 1) that are the same at each run. */
function seeded(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

function makeDocument({ labels = {}, predictions = true, errors = {}, taught = {}, asked = taught, blind = false, previous = null } = {}) {
  return {
    instance_id: 7, image_id: 3, blind, revision: 40, run_id: "run", calibrated: true, prediction_id: 5,
    image: { url: "/media/3", width: 640, height: 300 }, box: { xywh: [100, 50, 200, 220] }, previous,
    suspects: [], others: [], marks: [],
    keypoints: NAMES.map((name, k) => ({
      name, state: "open", x: null, y: null, v: 0, absent_reason: null, revision: null, taught: taught[k] ?? true, asked: asked[k] ?? true,
      prediction: predictions ? { x: 110 + 10 * k, y: 60 + 5 * k, score: 0.5, error: errors[k] ?? 0.1 } : null, ...labels[k],
    })),
  };
}

const placedAt = (x, y, v = 2, revision = 30) => ({ state: "placed", x, y, v, revision });

// A storage as the browser's, which several outboxes may share.
function makeStorage(full = false) {
  const kept = new Map();
  return {
    get length() { return kept.size; },
    key: (i) => [...kept.keys()][i] ?? null,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => {
      if (full) throw new Error("QuotaExceededError");
      kept.set(key, String(value));
    },
    removeItem: (key) => kept.delete(key),
  };
}

/** Locks as the browser's, one holder at a time. */
function makeLocks() {
  let last = Promise.resolve();
  return {
    request(name, run) {
      const mine = last.then(run);
      last = mine.catch(() => {});
      return mine;
    },
  };
}

/** A server that keeps edits by edit_id, as the real one does; it can be away, lose answers, or refuse. */
function makeServer() {
  const server = {
    saved: [], requests: 0, up: true, loseAnswers: 0, refuse: {}, revision: 100,
    async post(edits) {
      server.requests += 1;
      await Promise.resolve();
      if (!server.up) throw new Away("down");
      const results = edits.map((edit) => {
        const why = server.refuse[edit.edit_id];
        if (why) return { edit_id: edit.edit_id, ok: false, error: why, document: { instance_id: edit.instance_id } };
        const before = server.saved.find((one) => one.edit_id === edit.edit_id);
        if (!before) {
          server.revision += 1;
          server.saved.push({ ...edit, revision: server.revision });
        }
        const { revision } = before ?? server.saved.at(-1);
        return { edit_id: edit.edit_id, ok: true, revision, saved_at: "2026-01-31T12:00:00.000000Z", repeated: Boolean(before) };
      });
      if (server.loseAnswers > 0) {
        server.loseAnswers -= 1;
        throw new Away("lost");
      }
      return { results };
    },
  };
  return server;
}

/** Channels as the browser's: each hears the other. */
function makeChannels() {
  const both = [new EventTarget(), new EventTarget()];
  both.forEach((one, i) => {
    one.postMessage = (data) => both[1 - i].dispatchEvent(Object.assign(new Event("message"), { data: structuredClone(data) }));
  });
  return both;
}

function makeOutbox(server, { storage = makeStorage(), locks = makeLocks(), channel = null, project = "p" } = {}) {
  const later = [];
  const outbox = new Outbox({
    project, storage, locks, channel, post: (edits) => server.post(edits),
    later: (run, ms) => { later.push(ms); outbox.retry = run; return null; },
  });
  outbox.waits = later;
  return outbox;
}

async function soon() {
  for (let i = 0; i < 50; i += 1) await Promise.resolve();
}

async function quiet(outbox) {
  await soon();
  await outbox.flush();
  await soon();
}

/** A promise that a test settles. */
function open() {
  let settle;
  const promise = new Promise((resolve) => { settle = resolve; });
  return Object.assign(promise, { settle });
}

/** The page without what it draws. `server` also has `document()`: person 7 as it is there now. */
async function makePage(server = makeServer(), shared = {}) {
  server.document ??= makeDocument;
  const page = Object.create(Page.prototype);
  const nothing = () => {};
  const outbox = makeOutbox(server, shared);
  const asked = {
    get: async () => server.document(),
    post: async (path) => {
      page.predicted.push(path);
      return { document: await server.document() };
    },
  };
  Object.assign(page, {
    server: asked, outbox, history: new History(), queue: new Queue(), session: { runs: [{ run_id: "run" }] }, drawn: new Set(), looked: new Set(), quietly: new Set(),
    part: { saved: {}, historyBox: {} }, stage: { focus: nothing }, view: { camera: { scale: 1 } },
    said: [], opened: [], predicted: [], say: (words) => page.said.push(words),
    async open(id) {
      page.opened.push(id);
      return true;
    },
    redraw: nothing, reload: nothing, drawQueue: nothing, selected: nothing, banner: nothing, spend: () => 1,
  });
  Object.defineProperty(page, "who", { value: "ana" });
  page.deeds = new Deeds(page);
  page.people = new People(asked, outbox, () => page.deeds.rest());
  page.people.photo = async () => null;
  page.person = (await page.people.get(7)).person;
  listenToOutbox(page);
  return page;
}

/** Drag a keypoint from where it is shown. */
function drag({ deeds }, k, dx) {
  deeds.dragPoint(k, dx, 0);
  deeds.end();
}

/** A server as above whose document has the labels that it saved. */
function makeStudio() {
  const server = makeServer();
  server.document = () => {
    const labels = {};
    for (const { revision, labels: saved = [] } of server.saved) for (const { keypoint, ...one } of saved) labels[keypoint] = { ...one, revision };
    return { ...makeDocument({ labels }), revision: server.revision };
  };
  return server;
}

const label = (instance, k, x) => ({
  deed: "label", instance_id: instance, who: "ana", labels: [{ keypoint: k, state: "placed", x, y: 1, v: 2, reason: null }],
});

export const tests = {
  // Geometry

  pixel_centers_are_whole_numbers() {
    const camera = new Camera();
    equal(camera.toScreen(0, 0), [0.5, 0.5]);
    equal(camera.toImage(0.5, 0.5), [0, 0]);
    camera.scale = 4;
    equal(camera.toScreen(2, 3), [10, 14]);
  },

  screen_and_image_are_inverse_at_every_zoom() {
    const random = seeded(1);
    for (let i = 0; i < 200; i += 1) {
      const camera = new Camera();
      camera.fit([random() * 100, random() * 100, 1 + random() * 900, 1 + random() * 900], 800, 600, 16);
      camera.zoomAt(random() * 800, random() * 600, Math.exp(4 * random() - 2));
      camera.panBy(random() * 90, random() * 90);
      const [x, y] = [random() * 640, random() * 480];
      const back = camera.toImage(...camera.toScreen(x, y));
      near(back[0], x, 1e-6);
      near(back[1], y, 1e-6);
    }
  },

  zoom_keeps_what_is_under_the_pointer() {
    const camera = new Camera();
    camera.fit([0, 0, 640, 300], 800, 600);
    const before = camera.toImage(310, 222);
    for (const factor of [1.3, 5, 0.2, 3000, 1e-6]) {
      camera.zoomAt(310, 222, factor);
      const after = camera.toImage(310, 222);
      near(after[0], before[0], 1e-6);
      near(after[1], before[1], 1e-6);
    }
  },

  fit_shows_all_of_a_box_in_the_middle() {
    const camera = new Camera();
    camera.fit([10, 20, 200, 100], 800, 600, 20);
    near(camera.scale, 760 / 200);
    const [left, top] = camera.toScreen(10 - 0.5, 20 - 0.5);
    const [right, bottom] = camera.toScreen(209.5, 119.5);
    near(left + right, 800, 1e-6);
    near(top + bottom, 600, 1e-6);
    near(left, 20, 1e-6);
  },

  a_photo_cannot_be_lost_from_view() {
    const camera = new Camera();
    camera.panBy(1e6, -1e6);
    camera.hold(640, 300, 800, 600, 48);
    assert(camera.tx <= 800 - 48 && camera.ty >= 48 - 300);
  },

  points_stay_on_the_photo_and_boxes_too() {
    equal(inside([-9, 900], [640, 300]), [-0.5, 299.5]);
    assert(isInside([-0.5, 299.5], [640, 300]) && !isInside([640, 5], [640, 300]));
    equal(boxBetween([300, 200], [100, 900], [640, 300]), [100, 200, 200, 100]);
    equal(boxBetween([5, 5], [5, 5], [640, 300]), [5, 5, 2, 2]);
    equal(dragged([10, 10, 100, 50], "se", 7, -5, [640, 300]), [10, 10, 107, 45]);
    equal(dragged([10, 10, 100, 50], "nw", 200, 0, [640, 300]), [110, 10, 100, 50]);
    equal(dragged([10, 10, 100, 50], "move", -3, 4, [640, 300]), [7, 14, 100, 50]);
    equal(grown([10, 10, 100, 50], 0.1, [640, 300]), [0, 0, 120, 70]);
    equal(around([[0, 0], [9, 4]]), [0.5, 0.5, 9, 4]);
    equal(around([]), null);
  },

  // Model

  what_is_shown_is_the_label_or_an_open_keypoints_prediction() {
    const person = new Person(makeDocument({ labels: { 9: placedAt(1, 2, 1), 10: { state: "absent", absent_reason: "outside" } } }));
    equal(person.shown(L_WRIST), { x: 1, y: 2, v: 1, by: "label" });
    equal(person.shown(R_WRIST), null);
    equal(person.shown(NOSE), { x: 110, y: 60, v: 2, by: "prediction" });
    equal(person.open().length, 15);
  },

  blind_people_and_untaught_keypoints_have_no_prediction() {
    const blind = new Person(makeDocument({ blind: true }));
    assert(blind.points.every((_, k) => blind.shown(k) === null));
    equal(blind.missing().length, 17);
    const some = new Person(makeDocument({ taught: { 0: false, 1: false } }));
    equal(some.shown(NOSE), null);
    assert(!some.open().includes(0) && !some.uncertain().includes(1));
    const fresh = new Person(makeDocument({ taught: { 0: false }, asked: {} }));
    assert(fresh.shown(NOSE) === null && fresh.open().includes(NOSE), "the first people are asked for all keypoints");
  },

  visibility_goes_round_and_keeps_the_place() {
    const person = new Person(makeDocument({ labels: { 9: placedAt(12, 34) } }));
    const seen = [];
    for (let i = 0; i < 4; i += 1) {
      person.apply(person.cycle(L_WRIST));
      const { state, v, x } = person.points[L_WRIST];
      seen.push([state, v, x]);
    }
    equal(seen, [["placed", 1, 12], ["absent", 0, null], ["placed", 2, 12], ["placed", 1, 12]]);
  },

  a_predicted_keypoint_becomes_hidden_where_it_is_predicted() {
    const person = new Person(makeDocument());
    person.apply(person.cycle(L_WRIST));
    equal(person.change(L_WRIST), { keypoint: 9, state: "placed", x: 200, y: 105, v: 1, reason: null });
  },

  a_keypoint_that_lies_nowhere_is_outside_or_open() {
    const person = new Person(makeDocument({ predictions: false }));
    person.apply(person.cycle(NOSE));
    equal(person.points[NOSE].reason, "outside");
    person.apply(person.cycle(NOSE));
    equal(person.points[NOSE].state, "open");
    person.apply(person.cannotTell(NOSE));
    equal(person.points[NOSE].reason, "cannot tell");
    person.apply(person.cannotTell(NOSE));
    equal(person.points[NOSE].state, "open");
  },

  accept_all_leaves_what_is_over_the_limit_or_outside() {
    const doc = makeDocument({ errors: { 9: 0.5, 10: 0.2001, 11: 0.2 } });
    doc.keypoints[3].prediction.x = -40;
    const person = new Person(doc);
    const { accept, over, weak, outside } = person.acceptable(0.2);
    equal([over, weak, outside], [[9, 10], [], [3]]);
    equal(accept.length, 14);
    equal(person.acceptable(0.6).over, [], "the limit is the project's");
    equal(person.cycle(3)[0].reason, "outside", "V says so at once");
    const changes = person.accepted(accept);
    equal(changes[0], { keypoint: 0, state: "placed", x: 110, y: 60, v: 2, reason: null });
    equal(person.accepted([3]), []);
  },

  while_nothing_is_calibrated_a_plain_rule_doubts() {
    const doc = makeDocument();
    for (const point of doc.keypoints) Object.assign(point.prediction, { error: null, score: 0.9 });
    doc.keypoints[4].prediction.score = 0.49;
    const at = (x) => ({ x, y: 60, score: 0.9 });
    doc.keypoints[5].students = { a: at(100), b: at(110) };
    doc.keypoints[6].students = { a: at(100), b: at(112) }; // the box is 220 high
    doc.keypoints[7].prediction.error = 0.1;
    doc.keypoints[7].prediction.score = 0.1;
    equal(new Person(doc).acceptable(0.2).weak, [4, 6]);
  },

  async accept_all_says_why_it_stops_and_does_what_it_says() {
    const server = makeServer();
    server.document = () => {
      const doc = makeDocument({ errors: { 9: 0.5, 10: 0.6 } });
      doc.keypoints[3].prediction.x = -40;
      doc.keypoints[16].prediction = null;
      Object.assign(doc.keypoints[4].prediction, { error: null, score: 0.2 });
      return doc;
    };
    const page = await makePage(server);
    page.session.error_limit = 0.55;
    Object.assign(page, { stop: (words) => page.said.push(words), finished: () => page.said.push("finished"), secondsOf: () => 1 });
    page.deeds.acceptAll();
    equal(page.said.at(-1), "Look first: right wrist over the error limit of 55 %; right ear doubtful, not calibrated yet; left ear "
      + "predicted outside the photo: drag it in, or V; right ankle not placed. Ctrl+Enter again accepts right wrist and right ear and goes on.");
    equal(page.deeds.selected, R_WRIST);
    page.deeds.acceptAll();
    equal([page.person.open(), page.said.at(-1)], [[3, 16], "finished"]);
  },

  tab_goes_from_suspects_to_the_most_doubtful_to_the_missing() {
    const doc = makeDocument({ labels: { 0: placedAt(5, 5) }, errors: { 4: 0.9, 12: 0.7 } });
    doc.keypoints[16].prediction = null;
    doc.suspects = [{ keypoint: 0, kind: "away", partner: null, x: 9, y: 9, reason: "far" }];
    const order = new Person(doc).uncertain();
    equal(order.slice(0, 3), [0, 4, 12]);
    equal(order.at(-1), 16);
  },

  a_suspicion_of_swapped_sides_is_one() {
    const doc = makeDocument();
    const one = (keypoint, kind, partner = null) => ({ keypoint, kind, partner, x: 1, y: 1, reason: "far" });
    doc.suspects = [one(7, "swap", 8), one(8, "swap", 7), one(9, "swap", 10), one(15, "away")];
    const person = new Person(doc);
    equal(person.suspicion(10).keypoints, [7, 8, 9, 10]);
    equal(person.suspicion(15), { swap: false, keypoints: [15], reason: "far" });
    equal(person.suspicion(0), null);
  },

  swapping_exchanges_places_and_visibility() {
    const person = new Person(makeDocument({ labels: { 9: placedAt(1, 2, 1), 10: { state: "absent", absent_reason: "outside" } } }));
    const changes = person.swapped([L_WRIST], SKELETON.flip);
    const before = person.apply(changes);
    equal([person.points[9].state, person.points[9].reason], ["absent", "outside"]);
    equal(person.shown(R_WRIST), { x: 1, y: 2, v: 1, by: "label" });
    person.apply(before);
    equal(person.shown(L_WRIST), { x: 1, y: 2, v: 1, by: "label" });
    equal(person.swapped([NOSE], SKELETON.flip), []);
    equal(new Person(makeDocument({ predictions: false })).swapped([L_WRIST], SKELETON.flip), []);
  },

  swapping_twice_is_as_before() {
    const person = new Person(makeDocument({ labels: { 5: placedAt(3, 4), 6: placedAt(7, 8, 1) } }));
    const was = person.points.map((_, k) => person.shown(k)).map((one) => [one.x, one.y, one.v]);
    const all = NAMES.map((_, k) => k);
    for (let i = 0; i < 2; i += 1) person.apply(person.swapped(all, SKELETON.flip));
    equal(person.points.map((_, k) => person.shown(k)).map((one) => [one.x, one.y, one.v]), was);
  },

  a_limb_is_the_keypoint_and_what_hangs_on_it() {
    equal(limbFrom(L_ELBOW, SKELETON), [7, 9]);
    equal(limbFrom(L_SHOULDER, SKELETON), [5, 7, 9]);
    equal(limbFrom(R_WRIST, SKELETON), [10]);
    equal(limbFrom(11, SKELETON), [11, 13, 15]);
    equal(limbFrom(NOSE, SKELETON), [0]);
    equal(limbFrom(1, SKELETON), [1]);
  },

  copying_fills_open_keypoints_only() {
    const points = NAMES.map((_, k) => [k, 2 * k, k % 3]);
    const person = new Person(makeDocument({ labels: { 1: placedAt(99, 99) } }));
    const changes = person.copied(points);
    assert(!changes.some((one) => one.keypoint === 1 || one.keypoint % 3 === 0));
    equal(changes.find((one) => one.keypoint === 4), { keypoint: 4, state: "placed", x: 4, y: 8, v: 1, reason: null });
  },

  moving_and_scaling_a_person_moves_all_that_is_shown() {
    const person = new Person(makeDocument({ labels: { 10: { state: "absent", absent_reason: "outside" } } }));
    equal(person.moved(3, -2).length, 16);
    equal(person.moved(3, -2)[0], { keypoint: 0, state: "placed", x: 113, y: 58, v: 2, reason: null });
    equal(person.scaled(2, 110, 60)[1], { keypoint: 1, state: "placed", x: 130, y: 70, v: 2, reason: null });
    equal(person.moved(-1000, 0)[0].x, -0.5, "points stay on the photo");
  },

  any_run_of_edits_is_undone_and_redone_exactly() {
    const random = seeded(3);
    const person = new Person(makeDocument({ labels: { 2: placedAt(50, 60, 1), 3: { state: "absent", absent_reason: "outside" } } }));
    const image = () => JSON.stringify(person.points.map((_, k) => person.change(k)));
    const history = new History();
    const start = image();
    const pick = () => Math.floor(random() * 17);
    const moves = [
      () => person.cycle(pick()), () => person.cannotTell(pick()), () => person.reopen(pick()),
      () => person.place(pick(), random() * 640, random() * 300), () => person.nudge(pick(), 0.1, -1),
      () => person.swapped([pick()], SKELETON.flip), () => person.moved(random() * 9, 1), () => person.accepted([pick()]),
      () => person.scaled(0.9, 200, 100), () => person.swapped(NAMES.map((_, k) => k), SKELETON.flip),
    ];
    for (let i = 0; i < 600; i += 1) {
      const after = moves[Math.floor(random() * moves.length)]();
      const before = person.apply(after);
      history.push({ edit_id: `e${i}`, instance: 7, before, after, back: { deed: "undo", undoes: `e${i}` } });
    }
    const end = image();
    assert(end !== start);
    for (let entry = history.undo(); entry; entry = history.undo()) person.apply(entry.before);
    equal(image(), start);
    for (let i = 0; ; i += 1) {
      const entry = history.redo(`r${i}`, { deed: "undo", undoes: `r${i}` });
      if (!entry) break;
      person.apply(entry.after);
    }
    equal(image(), end);
    equal(history.done.at(-1).back.undoes, "r599");
    equal(history.done.length, 600);
  },

  a_new_edit_ends_redo_and_a_refused_one_is_forgotten() {
    const history = new History();
    const entry = (id) => ({ edit_id: id, instance: 1, before: [], after: [], back: { deed: "undo", undoes: id } });
    history.push(entry("a"));
    history.push(entry("b"));
    history.undo();
    history.push(entry("c"));
    equal(history.redo("x", {}), null);
    history.forget("a");
    equal(history.done.map((one) => one.edit_id), ["c"]);
    equal(new History(JSON.parse(JSON.stringify(history))).done.length, 1);
  },

  edits_that_wait_lie_on_top_of_a_newer_document() {
    const person = new Person(makeDocument(), [[{ keypoint: 0, state: "placed", x: 1, y: 2, v: 2, reason: null }]]);
    equal(person.shown(0), { x: 1, y: 2, v: 2, by: "label" });
    person.load(makeDocument({ labels: { 0: placedAt(8, 8, 2, 55) } }), []);
    equal(person.shown(0).x, 8);
    equal(person.bases([0, 1]), { 0: 55, 1: 0 });
  },

  numbers_that_are_none_are_not_drawn() {
    const doc = makeDocument({ labels: { 0: { state: "placed", x: "1", y: null, v: 2 }, 1: { state: "<b>", x: 1, y: 1 } } });
    doc.keypoints[2].prediction = { x: NaN, y: 3, score: 1 };
    const person = new Person(doc);
    equal(person.points[0].state, "open");
    equal(person.points[1].state, "open");
    equal(person.shown(2), null);
  },

  // Keys

  every_key_is_bound_once_and_every_command_exists() {
    const keys = TABLE.flatMap(({ rows }) => rows.flatMap(([all]) => all));
    equal(keys.length, new Set(keys).size);
    for (const { rows } of TABLE) {
      for (const [, command, words] of rows) assert(COMMANDS.has(command) && words.length > 3, `no command ${command}`);
    }
    assert(!keys.some((key) => ["Ctrl+W", "Ctrl+T", "Ctrl+Tab", "Ctrl+N"].includes(key)), "the browser keeps these");
    assert(GESTURES.length > 3);
  },

  a_key_event_is_written_as_in_the_table() {
    const key = (name, more = {}) => ({ key: name, ctrlKey: false, altKey: false, shiftKey: false, metaKey: false, ...more });
    equal(chord(key("z", { ctrlKey: true })), "Ctrl+Z");
    equal(chord(key("Z", { metaKey: true, shiftKey: true })), "Ctrl+Shift+Z");
    equal(chord(key("?", { shiftKey: true })), "?");
    equal(chord(key("ArrowLeft", { shiftKey: true })), "Shift+ArrowLeft");
    equal(chord(key("\u00e5", { altKey: true, code: "KeyA" })), "Alt+A");
    equal(chord(key("\u043c", { code: "KeyV" })), "V", "a Cyrillic keyboard");
    equal(bound(key("v")).command, "cycle");
    equal(bound(key("V", { shiftKey: true })).command, "cannotTell");
    equal(bound(key("q")), null);
    equal(bound(key("s", { ctrlKey: true })), null);
  },

  // Outbox

  async edits_arrive_in_order_and_leave_the_outbox_with_their_result() {
    const server = makeServer();
    const outbox = makeOutbox(server);
    for (let i = 0; i < 30; i += 1) outbox.add(label(i % 4, 0, i), { bases: { 0: 0 } });
    await quiet(outbox);
    equal(server.saved.map((edit) => edit.labels[0].x), [...Array(30).keys()]);
    equal(outbox.waiting(), []);
    equal(outbox.savedAt, "2026-01-31T12:00:00.000000Z");
  },

  async an_edit_knows_the_revision_of_the_one_that_it_follows() {
    const server = makeServer();
    server.up = false;
    const outbox = makeOutbox(server);
    const first = outbox.add(label(1, 0, 1), { bases: { 0: 7 }, effect: [{ keypoint: 0 }] });
    outbox.add(label(1, 0, 2), { bases: { 0: 7 }, follows: [first.edit.edit_id] });
    outbox.add(label(1, 5, 3), { bases: { 5: 3 }, follows: [first.edit.edit_id] });
    outbox.add(label(1, 0, 4), { bases: { 0: 7 } }); // made without a look at the others, as in another tab
    await quiet(outbox);
    server.up = true;
    await quiet(outbox);
    equal(server.saved.map((edit) => edit.base_revision), [{ 0: 7 }, { 0: 101 }, { 5: 3 }, { 0: 7 }]);
    equal(server.saved[1].after, [first.edit.edit_id]);
    assert(server.requests >= 4, "two edits of one person never travel together");
  },

  async nothing_is_lost_while_the_server_is_away() {
    const server = makeServer();
    server.up = false;
    const storage = makeStorage();
    const outbox = makeOutbox(server, { storage });
    for (let i = 0; i < 5; i += 1) outbox.add(label(1, i, i), { bases: { [i]: 0 } });
    await quiet(outbox);
    assert(outbox.away && outbox.waiting().length === 5 && server.saved.length === 0);
    outbox.retry();
    await quiet(outbox);
    assert(outbox.waits.length >= 2 && outbox.waits.at(-1) <= 8000 && outbox.waits.at(-1) > outbox.waits[0], "waits longer each time");
    const again = makeOutbox(server, { storage }); // the page was loaded again
    server.up = true;
    await again.hurry();
    await quiet(again);
    equal(server.saved.map((edit) => edit.labels[0].x), [0, 1, 2, 3, 4]);
    assert(!again.away && again.waiting().length === 0);
  },

  async a_lost_answer_does_not_save_twice() {
    const server = makeServer();
    server.loseAnswers = 2;
    const outbox = makeOutbox(server);
    outbox.add(label(1, 0, 1), { bases: { 0: 0 } });
    await quiet(outbox);
    outbox.add(label(1, 1, 2), { bases: { 1: 0 } });
    await quiet(outbox);
    await quiet(outbox);
    equal(server.saved.map((edit) => edit.labels[0].x), [1, 2]);
    equal(outbox.waiting(), []);
  },

  async two_tabs_send_each_edit_once() {
    const server = makeServer();
    const shared = { storage: makeStorage(), locks: makeLocks() };
    const [one, two] = [makeOutbox(server, shared), makeOutbox(server, shared)];
    for (let i = 0; i < 10; i += 1) (i % 2 ? one : two).add(label(i, 0, i), { bases: { 0: 0 } });
    await Promise.all([quiet(one), quiet(two)]);
    equal(server.saved.map((edit) => edit.labels[0].x).sort((a, b) => a - b), [...Array(10).keys()]);
    equal(server.saved.length, new Set(server.saved.map((edit) => edit.edit_id)).size);
    equal([one.waiting().length, two.waiting().length], [0, 0]);
  },

  async another_projects_edits_stay_where_they_are() {
    const [server, storage] = [makeServer(), makeStorage()];
    const down = makeServer();
    down.up = false;
    makeOutbox(down, { storage, project: "p1" }).add(label(1, 0, 1));
    const other = makeOutbox(server, { storage, project: "p2" });
    await quiet(other);
    equal(server.saved.length, 0);
    equal(makeOutbox(down, { storage, project: "p1" }).waiting().length, 1);
  },

  async a_conflict_is_kept_for_the_person_to_decide() {
    const server = makeServer();
    const outbox = makeOutbox(server);
    const told = [];
    outbox.addEventListener("refused", ({ detail }) => told.push(detail.result.error.kind));
    server.up = false;
    const first = outbox.add(label(1, 0, 1), { bases: { 0: 0 }, effect: [{ keypoint: 0 }] });
    outbox.add(label(2, 0, 2), { bases: { 0: 0 } });
    await quiet(outbox);
    server.refuse[first.edit.edit_id] = { kind: "conflict", message: "changed by ben" };
    server.up = true;
    await quiet(outbox);
    equal(told, ["conflict"]);
    equal(server.saved.map((edit) => edit.instance_id), [2]);
    equal(outbox.refused().map((entry) => [entry.edit.edit_id, entry.error.kind, entry.document.instance_id]), [[first.edit.edit_id, "conflict", 1]]);
    equal(outbox.waiting(), []);
    outbox.drop(first.edit.edit_id);
    equal(outbox.refused(), []);
  },

  async a_busy_server_gets_the_edit_again() {
    const server = makeServer();
    const outbox = makeOutbox(server);
    server.up = false;
    const first = outbox.add(label(1, 0, 1));
    await quiet(outbox);
    server.up = true;
    server.refuse[first.edit.edit_id] = { kind: "busy", message: "later" };
    await quiet(outbox);
    equal(outbox.waiting().length, 1);
    server.refuse = {};
    await quiet(outbox);
    equal(server.saved.length, 1);
  },

  async why_a_server_takes_nothing_is_said_in_its_own_words() {
    const said = "The disk is full.";
    const answer = (status, body) => ({ ok: status < 400, status, json: async () => body });
    let reply = async () => { throw new TypeError("failed to fetch"); };
    const page = await makePage();
    const server = new Server((path) => (path === "/api/session" ? answer(200, { token: "t" }) : reply()));
    page.outbox.post = (edits) => server.post("/api/edits", { edits });
    page.outbox.add(label(7, 0, 1));
    await quiet(page.outbox);
    equal([page.part.saved.textContent, page.said], ["1 waiting: the server is away", []]);
    reply = () => answer(503, { error: { kind: "busy", message: said } });
    await quiet(page.outbox);
    await quiet(page.outbox);
    equal([page.part.saved.textContent, page.part.saved.title, page.said], [`1 waiting: ${said}`, said, [said]]);
    reply = () => answer(200, { results: page.outbox.waiting().map(({ edit }) => ({ edit_id: edit.edit_id, ok: true })) });
    await quiet(page.outbox);
    equal([page.outbox.waiting(), page.part.saved.title], [[], ""]);
  },

  async a_reason_is_not_cut_within_a_character() {
    const page = await makePage();
    page.queue.load({ items: [{ instance_id: 7, reason: `${"a".repeat(199)}\u{1f600}\u{1f600}` }] });
    drag(page, L_WRIST, 20);
    equal(page.outbox.waiting()[0].edit.queued_for, `${"a".repeat(199)}\u{1f600}`);
  },

  async one_bad_edit_does_not_hold_up_the_others() {
    const server = makeServer();
    const strict = {
      async post(edits) {
        if (edits.some((edit) => edit.labels[0].x === 1)) throw new Refused({ kind: "invalid", message: "no" });
        return server.post(edits);
      },
    };
    const outbox = makeOutbox(strict);
    for (let i = 0; i < 3; i += 1) outbox.add(label(i, 0, i));
    await quiet(outbox);
    equal(server.saved.map((edit) => edit.labels[0].x), [0, 2]);
    equal(outbox.refused().length, 1);
    equal(outbox.waiting(), []);
  },

  async full_storage_keeps_edits_in_memory_and_says_so() {
    const server = makeServer();
    server.up = false;
    const outbox = makeOutbox(server, { storage: makeStorage(true) });
    outbox.add(label(1, 0, 1));
    await quiet(outbox);
    equal([outbox.onlyInMemory, outbox.waiting().length], [1, 1]);
    server.up = true;
    await quiet(outbox);
    equal([server.saved.length, outbox.onlyInMemory], [1, 0]);
  },

  broken_entries_of_other_programs_are_passed_over() {
    const storage = makeStorage();
    storage.setItem("posestudio/outbox/p/0-x", "{not json");
    storage.setItem("posestudio/outbox/p/1-x", "{}");
    equal(makeOutbox(makeServer(), { storage }).waiting(), []);
  },

  an_edit_on_the_wire_says_what_it_follows() {
    const entry = { edit: { deed: "undo", undoes: "a", instance_id: 1 }, bases: { 3: 9, 4: null }, follows: ["x"] };
    equal(onTheWire(entry), { deed: "undo", undoes: "a", instance_id: 1, base_revision: { 3: 9, 4: 0 }, after: ["x"] });
    equal(onTheWire({ edit: { deed: "mark" }, bases: {}, follows: [] }), { deed: "mark", after: [] });
  },

  // Several pages

  async another_tabs_edit_is_no_base_before_it_is_shown() {
    const [server, [one, two]] = [makeStudio(), makeChannels()];
    const shared = { storage: makeStorage(), locks: makeLocks() };
    const mine = await makePage(server, { ...shared, channel: one });
    const other = await makePage(server, { ...shared, channel: two });
    const answer = open();
    const now = server.document;
    server.document = () => answer;
    drag(mine, L_WRIST, 20);
    await quiet(mine.outbox);
    equal(mine.person.bases([L_WRIST]), { 9: 101 }, "its own edit");
    equal([other.person.shown(L_WRIST).x, other.person.bases([L_WRIST])], [200, { 9: 0 }]);
    answer.settle(now());
    await soon();
    equal([other.person.shown(L_WRIST), other.person.bases([L_WRIST])], [{ x: 220, y: 105, v: 2, by: "label" }, { 9: 101 }]);
  },

  async another_tabs_edit_of_somebody_else_makes_room_for_the_new_document() {
    const [server, [one, two]] = [makeStudio(), makeChannels()];
    const shared = { storage: makeStorage(), locks: makeLocks() };
    const mine = await makePage(server, { ...shared, channel: one });
    const other = await makePage(server, { ...shared, channel: two });
    other.person = new Person({ ...makeDocument(), instance_id: 8 });
    drag(mine, L_WRIST, 20);
    await quiet(mine.outbox);
    equal([mine.people.here(7) !== null, other.people.here(7)], [true, null]);
  },

  async an_edit_follows_what_waits_only_if_its_author_saw_it() {
    const server = makeStudio();
    const shared = { storage: makeStorage(), locks: makeLocks() };
    const mine = await makePage(server, shared);
    const other = await makePage(server, shared);
    server.up = false;
    drag(mine, L_WRIST, 20);
    drag(other, L_WRIST, -20);
    const later = await makePage(server, shared); // which shows both
    drag(later, L_WRIST, 3);
    const [first, second, third] = mine.outbox.waiting();
    equal([first.follows, second.follows, third.follows], [[], [], [first.edit.edit_id, second.edit.edit_id]]);
    equal(later.person.shown(L_WRIST).x, 183);
  },

  async a_page_stays_with_its_project() {
    const projects = { a: { token: "ta", project_id: "a" }, b: { token: "tb", project_id: "b" } };
    let running = "a";
    const seen = [];
    const answer = (status, body) => ({ ok: status < 400, status, json: async () => body });
    const server = new Server(async (path, { headers }) => {
      if (path === "/api/session") return answer(200, projects[running]);
      seen.push([running, headers["X-PoseStudio-Token"] ?? null, headers["X-PoseStudio-Project"]]);
      if (headers["X-PoseStudio-Token"] === projects[running].token) return answer(200, { results: [] });
      return answer(403, { error: { kind: "token", message: "over" } });
    });
    const says = (promise) => promise.then(() => "fine", (error) => (error instanceof Away ? "away" : error.kind));
    equal(await says(server.post("/api/edits", {})), "fine");
    running = "b";
    equal([await says(server.post("/api/edits", {})), await says(server.post("/api/edits", {}))], ["away", "away"]);
    running = "a";
    equal(await says(server.post("/api/edits", {})), "fine");
    equal(seen, [["a", "ta", "a"], ["b", "ta", "a"], ["b", "ta", "a"], ["a", "ta", "a"]]);
  },

  // The page

  async a_person_opens_only_where_it_was_drawn() {
    const server = makeServer();
    const add = { deed: "add", box: [1, 1, 50, 50], iscrowd: false };
    const post = server.post;
    server.post = async (edits) => {
      const { results } = await post(edits);
      return { results: results.map((result) => ({ ...result, instance_id: 70 })) };
    };
    const page = await makePage(server);
    for (const image_id of [3, 99]) page.outbox.add({ ...add, image_id }); // as the page Images sends it
    await quiet(page.outbox);
    equal([page.opened, page.predicted], [[], []]);
    page.deeds.mode = "region";
    page.deeds.drawn([10, 10], [90, 90]);
    page.deeds.mode = "add";
    page.deeds.drawn([10, 10], [90, 90]);
    await quiet(page.outbox);
    equal([page.opened, page.predicted], [[70], []]);
    const { instance, back, words } = page.history.done.at(-1);
    equal([instance, back, words], [70, { deed: "hide" }, "person 70 is new"], "undo hides who was added");
    page.deeds.mode = "add";
    server.up = false;
    page.deeds.drawn([10, 10], [90, 90]);
    await quiet(page.outbox);
    page.person = new Person({ ...makeDocument(), instance_id: 8, image_id: 4 });
    server.up = true;
    await quiet(page.outbox);
    equal([server.saved.length, page.opened], [5, [70]], "another photo is shown by now");
  },

  async a_person_who_is_shown_no_more_is_not_merged() {
    const page = await makePage();
    const was = page.person;
    await WHOLE.merge(page.deeds, 8, async () => {
      page.person = new Person({ ...makeDocument(), instance_id: 70 });
      return true;
    });
    equal([page.outbox.waiting(), page.history.done, page.opened], [[], [], []]);
    page.person = was;
    await WHOLE.merge(page.deeds, 8, async () => true);
    equal([page.outbox.waiting().map(({ edit }) => [edit.instance_id, edit.into]), page.opened], [[[7, 8]], [8]]);
  },

  async undo_takes_back_the_edit_that_it_names() {
    const server = makeServer();
    const page = await makePage(server);
    drag(page, L_WRIST, 20);
    await quiet(page.outbox);
    server.up = false;
    await WHOLE.merge(page.deeds, 8, async () => true);
    page.deeds.step(true);
    equal([page.outbox.waiting().length, page.history.done.length, page.said.at(-1)], [1, 2, "Wait until the merge is saved"]);
    server.up = true;
    await quiet(page.outbox);
    page.deeds.step(true);
    await quiet(page.outbox);
    equal(server.saved.map((edit) => edit.deed), ["label", "merge", "restore"]);
    WHOLE.hand(page.deeds, 8, [L_WRIST]);
    page.deeds.step(true);
    await quiet(page.outbox);
    const [hand, undo] = server.saved.slice(-2);
    equal([hand.deed, undo.deed, undo.undoes], ["hand", "undo", hand.edit_id]);
  },

  async what_is_taken_back_says_of_each_keypoint_what_was_seen() {
    const server = makeServer();
    const page = await makePage(server);
    const bases = () => server.saved.map((edit) => edit.base_revision);
    page.deeds.accept([0, 1]);
    await quiet(page.outbox);
    drag(page, 1, 20);
    await quiet(page.outbox);
    for (let i = 0; i < 2; i += 1) {
      page.deeds.step(true);
      await quiet(page.outbox);
    }
    equal(bases(), [{ 0: 0, 1: 0 }, { 1: 101 }, { 1: 102 }, { 0: 101, 1: 103 }], "nose is as old as it was");
    WHOLE.hand(page.deeds, 8, [L_WRIST]);
    await quiet(page.outbox);
    equal(bases().at(-1), { 9: 0 });
    drag(page, R_WRIST, 5);
    await quiet(page.outbox);
    await WHOLE.merge(page.deeds, 8, async () => true);
    equal([page.outbox.waiting()[0].bases[9], page.outbox.waiting()[0].bases[10]], [105, 106]);
  },

  async a_merge_is_taken_back_as_it_was_seen() {
    const server = makeServer();
    const post = server.post;
    server.post = async (edits) => {
      const { results } = await post(edits);
      return { results: results.map((result) => ({ ...result, moved: [L_WRIST] })) };
    };
    const page = await makePage(server);
    await WHOLE.merge(page.deeds, 8, async () => true);
    await quiet(page.outbox);
    server.document = () => ({ ...makeDocument({ labels: { 9: placedAt(5, 5, 2, 77) } }), instance_id: 8 });
    await page.people.get(8);
    page.deeds.step(true);
    await quiet(page.outbox);
    const { deed, instance_id: whose, base_revision: seen } = server.saved.at(-1);
    equal([deed, whose, seen], ["undo", 8, { 9: 77 }]);
  },

  async an_undo_of_an_earlier_sitting_makes_no_keypoint_newer_than_it_was_seen() {
    const server = makeServer();
    const page = await makePage(server);
    page.people.server = { get: () => new Promise(() => {}) }; // what the undo did is not here yet
    page.deeds.step(true);
    await quiet(page.outbox);
    equal([server.saved[0].base_revision[R_WRIST], page.person.bases([R_WRIST])], [0, { 10: 0 }]);
  },

  async an_edit_names_the_run_only_where_its_prediction_was_shown() {
    const server = makeServer();
    server.document = () => {
      const doc = makeDocument({ labels: { 9: placedAt(5, 5) } });
      doc.keypoints[10].prediction = null;
      return doc;
    };
    const page = await makePage(server);
    page.deeds.label([...page.person.place(8, 1, 1), ...page.person.place(9, 1, 1), ...page.person.place(10, 1, 1)]);
    drag(page, 7, 10);
    drag(page, 7, 10);
    const sent = page.outbox.waiting().map(({ edit }) => edit.labels.map((one) => [one.keypoint, one.run_id]));
    equal(sent, [[[8, "run"], [9, null], [10, null]], [[7, "run"]], [[7, null]]]);
  },

  async keys_of_a_mode_touch_no_keypoint() {
    const page = await makePage();
    const { deeds, outbox } = page;
    const press = (key, command, more = {}) => deeds.run(command, { key, ...more });
    const sent = () => outbox.waiting().map(({ edit }) => edit);
    page.server.get = () => new Promise(() => {}); // nothing comes back while this test looks
    press("b", "editBox");
    for (const [key, command] of [["v", "cycle"], ["x", "swap"], ["Delete", "reopen"], ["n", "skip"], ["Tab", "nextUncertain"]]) {
      assert(press(key, command) !== false, "the key is taken");
    }
    equal([sent(), deeds.selected, page.said.at(-1)], [[], 0, deeds.told]);
    press("ArrowRight", "nudge", { shiftKey: true });
    press("ArrowUp", "nudge");
    press("+", "zoomIn");
    equal(page.person.box, [105, 43.5, 210, 231]);
    equal(sent(), [], "one edit when the keys are let go");
    press("Enter", "accept");
    equal([sent().map((edit) => [edit.deed, edit.box]), deeds.mode], [[["box", [105, 43.5, 210, 231]]], null]);
    press("Enter", "accept");
    equal(sent().map((edit) => edit.deed), ["box", "accept"], "after the mode keys are about keypoints again");
  },

  async a_new_box_is_drawn_moved_and_taken_by_keys() {
    const page = await makePage();
    page.view = { camera: new Camera(), room: [400, 300] };
    const { deeds } = page;
    deeds.run("addPerson", { key: "i" });
    deeds.run("nudge", { key: "ArrowLeft" });
    equal(deeds.drawnBox, null);
    deeds.run("accept", { key: "Enter" });
    equal(deeds.drawnBox, [100, 40, 200, 220]);
    deeds.run("nudge", { key: "ArrowLeft", shiftKey: true });
    deeds.run("zoomOut", { key: "-" });
    deeds.run("accept", { key: "Enter" });
    equal(page.outbox.waiting().map(({ edit }) => [edit.deed, edit.box]), [["add", [94.76, 45.24, 190.48, 209.52]]]);
    equal([deeds.mode, deeds.drawnBox], [null, null]);
  },

  async others_are_chosen_by_keys() {
    const server = makeServer();
    const other = (instance_id, iscrowd = false) => ({ instance_id, iscrowd, box: [0, 0, 9, 9], points: [] });
    server.document = () => ({ ...makeDocument({ labels: { 9: placedAt(5, 5) } }), others: [other(8), other(9, true), other(11)] });
    const page = await makePage(server);
    page.view = { camera: new Camera(), sees: () => true };
    const { deeds } = page;
    const press = (key, command) => deeds.run(command, { key });
    for (const id of [8, 9, 11, 8]) {
      press("j", "nextOther");
      equal(deeds.other, id);
    }
    assert(page.said.at(-1).startsWith("Person 8, 1 of 3"));
    press("Enter", "accept");
    equal(page.opened, [8]);
    press("Escape", "leave");
    equal([deeds.mode, deeds.other], [null, null]);
    deeds.selected = L_WRIST;
    press("y", "handOver");
    press("Enter", "accept"); // nobody is chosen yet: the first
    press("j", "nextOther");
    equal(deeds.other, 11, "nothing is handed to a region");
    press("Enter", "accept");
    equal(page.outbox.waiting().map(({ edit }) => [edit.deed, edit.to, edit.keypoints]), [["hand", 11, [9]]]);
  },

  async the_whole_person_moves_and_scales_without_a_modifier() {
    const page = await makePage();
    const { deeds, person } = page;
    deeds.run("movePerson", {});
    deeds.run("nudge", { key: "ArrowRight", shiftKey: true });
    deeds.run("nudge", { key: "ArrowDown" });
    equal(person.shown(NOSE), { x: 120, y: 61, v: 2, by: "label" });
    deeds.run("zoomIn", { key: "+" });
    near(person.shown(16).x - person.shown(0).x, 168);
    deeds.run("accept", { key: "Enter" });
    equal([deeds.mode, page.history.done.map((entry) => entry.deed)], [null, ["label", "label"]]);
  },

  async the_students_look_at_whom_they_have_not_seen_once() {
    const seenBy = { ...makeDocument(), box: { xywh: [100, 50, 200, 220], revision: 4 } };
    const nobody = { ...makeDocument({ predictions: false }), prediction_id: null, box: seenBy.box };
    const predicted = async (given, more = {}) => {
      const server = makeServer();
      let doc = given;
      server.document = () => doc;
      const page = await makePage(server);
      Object.assign(page, more);
      doc = seenBy;
      await look(page, async () => {});
      await look(page, async () => {});
      return page;
    };
    const page = await predicted(nobody);
    equal([page.predicted, page.deeds.selected], [["/api/people/7/predict"], page.person.uncertain()[0]]);
    assert(page.said.includes("The students look at this person") && page.said.at(-1).startsWith("Person 7: 17 open"));
    equal((await predicted({ ...seenBy, stale: true })).predicted.length, 1);
    equal((await predicted({ ...nobody, run_id: null })).predicted.length, 1);
    for (const quiet of [seenBy, { ...nobody, blind: true }, { ...nobody, hidden: true }, { ...nobody, run_id: "an imported model" }]) {
      equal((await predicted(quiet)).predicted, []);
    }
    equal((await predicted(nobody, { session: { runs: [] } })).predicted, []);
    const done = Object.fromEntries(NAMES.map((_, k) => [k, placedAt(1, 1)]));
    equal((await predicted({ ...nobody, keypoints: makeDocument({ predictions: false, labels: done }).keypoints })).predicted, []);
  },

  async a_failed_look_is_not_tried_again_and_edits_meanwhile_are_kept() {
    const server = makeStudio();
    const [answer, then] = [open(), server.document];
    server.document = () => ({ ...makeDocument({ predictions: false }), prediction_id: null });
    const page = await makePage(server);
    let asked = 0;
    page.server.post = async () => {
      asked += 1;
      throw new Refused({ kind: "invalid", message: "The photo cannot be read." });
    };
    await look(page, async () => {});
    await look(page, async () => {});
    equal([asked, page.said.at(-1)], [1, "The photo cannot be read."]);
    page.looked.clear();
    page.server.post = () => answer;
    const looking = look(page, async () => {});
    await soon();
    page.deeds.click(50, 60);
    page.deeds.dragPoint(NOSE, 3, 0);
    server.document = then;
    answer.settle({ document: makeDocument() });
    await soon();
    equal(page.person.shown(L_WRIST), null, "the drag goes on");
    page.deeds.end();
    await looking;
    equal([page.person.shown(NOSE), page.person.shown(L_WRIST).by], [{ x: 53, y: 60, v: 2, by: "label" }, "prediction"]);
  },

  async undo_takes_back_marks_and_goes_back_to_the_person() {
    const server = makeServer();
    const page = await makePage(server);
    page.root = {};
    page.part = { ...page.part, title: { replaceChildren() {} }, why: {}, who: {} };
    page.finished = () => page.said.push("finished");
    page.queue.load({ items: [{ instance_id: 7 }, { instance_id: 8 }] });
    const [skipped] = [page.person];
    drag(page, L_WRIST, 20);
    page.deeds.run("skip");
    equal([page.opened, [...page.queue.passed]], [[8], [7]]);
    page.person = new Person({ ...makeDocument(), instance_id: 8 });
    page.open = async (id) => {
      page.opened.push(id);
      page.person = skipped;
      return true;
    };
    page.deeds.step(true);
    await quiet(page.outbox);
    const [, skip, undo] = server.saved;
    equal([skip.deed, skip.kind, skip.instance_id], ["mark", "skip", 7]);
    equal([undo.deed, undo.undoes, undo.instance_id], ["undo", skip.edit_id, 7]);
    equal([page.opened, [...page.queue.passed], page.said.at(-1)], [[8, 7], [], "Undone: skipping person 7"]);
    equal(page.person.shown(L_WRIST).x, 220, "the label stays");
    page.deeds.step(false);
    await quiet(page.outbox);
    equal([server.saved.at(-1).kind, [...page.queue.passed]], ["skip", [7]]);
    page.deeds.step(true);
    await quiet(page.outbox);
    equal(server.saved.at(-1).undoes, server.saved.at(-2).edit_id, "the newest of them");
    page.deeds.step(true);
    equal(page.person.shown(L_WRIST).by, "prediction");
  },

  async an_edit_of_an_earlier_sitting_is_named_and_done_again() {
    const server = makeServer();
    const post = server.post;
    server.post = async (edits) => {
      const { results } = await post(edits);
      return { results: results.map((result) => ({ ...result, undone: "old" })) };
    };
    const page = await makePage(server);
    const get = page.server.get;
    const rows = [{ edit_id: "old", name: "left_wrist", at: new Date(2026, 0, 31, 9, 5, 7).toISOString() }, { edit_id: "other", name: "nose" }];
    page.server.get = async (path) => (path.endsWith("history") ? { rows } : get(path));
    page.deeds.step(true);
    await quiet(page.outbox);
    equal([server.saved[0].deed, server.saved[0].undoes], ["undo", undefined]);
    assert(/^Undone: left wrist of person 7, your edit of 2026-01-31 09:05:07. Ctrl\+Shift\+Z/.test(page.said.at(-1)), page.said.at(-1));
    page.deeds.step(false);
    await quiet(page.outbox);
    equal([server.saved[1].deed, server.saved[1].undoes], ["undo", server.saved[0].edit_id]);
    page.deeds.step(true);
    await quiet(page.outbox);
    equal(server.saved[2].undoes, server.saved[1].edit_id);
  },

  a_flag_names_its_keypoint_until_that_is_decided() {
    const flag = (keypoint) => ({ kind: "flag", keypoint, text: null });
    const person = new Person({ ...makeDocument(), marks: [flag(3), flag(9), flag(null), { kind: "comment", keypoint: null, text: "a" }, { kind: "skip", keypoint: null }] });
    equal(person.flagged, 9);
    assert(person.settle([9]));
    equal([person.flagged, person.marks.map((one) => one.kind)], [3, ["flag", "flag", "comment"]]);
    assert(!person.settle([5]));
    equal(new Person(makeDocument()).flagged, null);
  },

  what_is_said_of_a_person_stands_at_once() {
    const person = new Person(makeDocument());
    const kinds = () => person.marks.map((one) => one.kind);
    person.said({ kind: "flag" }, { who: "ana" });
    person.said({ kind: "comment", text: "why?" }, { who: "ana" });
    equal(person.marks, [{ kind: "flag", keypoint: null, text: null, who: "ana" }, { kind: "comment", keypoint: null, text: "why?", who: "ana" }]);
    person.said({ kind: "unflag" }, {});
    equal(kinds(), ["comment"]);
    person.said({ kind: "skip" }, {});
    person.said({ kind: "comment", text: "Resolved" }, {});
    equal(kinds(), ["skip"]);
  },

  async marks_that_wait_lie_on_top_of_a_newer_document() {
    const server = makeServer();
    const page = await makePage(server);
    server.up = false;
    page.outbox.add({ deed: "mark", kind: "flag", instance_id: 7, who: "ana" });
    await page.people.refresh(7);
    equal(page.person.marks.map((one) => [one.kind, one.who]), [["flag", "ana"]]);
  },

  async an_answer_that_was_overtaken_is_left() {
    const page = await makePage();
    const flagged = open();
    const answers = [flagged, makeDocument()];
    page.people.server = { get: async () => answers.shift() };
    const first = page.people.refresh(7);
    equal(await page.people.refresh(7), true);
    flagged.settle({ ...makeDocument(), marks: [{ kind: "flag", keypoint: null, text: null, who: "ana" }] });
    equal([await first, page.person.marks], [false, []]);
  },

  async an_answer_for_another_run_is_left() {
    const page = await makePage();
    const answer = open();
    page.people.server = { get: () => answer };
    const asked = page.people.refresh(7);
    page.people.clear("other", 7);
    answer.settle({ ...makeDocument(), marks: [{ kind: "flag", keypoint: null, text: null, who: "ana" }] });
    equal([await asked, page.person.marks], [false, []]);
  },

  async an_answer_that_is_broken_off_is_not_the_servers_fault() {
    const broken = { ok: true, status: 200, json: async () => { throw Object.assign(new Error("aborted"), { name: "AbortError" }); } };
    const caught = await new Server(async () => broken).get("/api/x").catch((error) => error);
    equal([caught instanceof Away, caught.name], [false, "AbortError"]);
  },

  async an_edit_that_is_made_while_undo_opens_somebody_stays() {
    const server = makeServer();
    const page = await makePage(server);
    drag(page, L_WRIST, 20);
    const first = page.person;
    const there = open();
    page.person = new Person({ ...makeDocument(), instance_id: 8 });
    page.open = async () => {
      await there;
      page.person = first;
      return true;
    };
    page.deeds.step(true); // of person 7, who has to come first
    drag(page, R_WRIST, 20);
    there.settle();
    await quiet(page.outbox);
    equal([page.history.done.map((entry) => entry.instance), server.saved.map((edit) => edit.deed)], [[7, 8], ["label", "label"]]);
  },

  async a_document_waits_for_the_end_of_a_drag() {
    for (const ask of [(page) => page.refresh(7), (page) => predict(page, 7)]) {
      const server = makeServer();
      const page = await makePage(server);
      server.document = () => makeDocument({ labels: { 10: placedAt(5, 5, 2, 35) } });
      page.deeds.dragPoint(L_WRIST, 4, 0);
      const asked = ask(page);
      await soon();
      page.deeds.dragPoint(L_WRIST, 20, 0);
      equal([page.person.shown(L_WRIST).x, page.person.shown(R_WRIST).by], [220, "prediction"]);
      page.deeds.end();
      await asked;
      equal([page.person.shown(L_WRIST).x, page.person.shown(R_WRIST).x], [220, 5]);
      await quiet(page.outbox);
      equal(server.saved.map((edit) => edit.labels.map(({ keypoint, x }) => [keypoint, x])), [[[9, 220]]]);
    }
  },

  async a_drag_that_is_left_lets_the_document_in() {
    const server = makeServer();
    const page = await makePage(server);
    server.document = () => makeDocument({ labels: { 9: placedAt(5, 5, 2, 35) } });
    page.deeds.nudge(L_WRIST, 1, 0);
    const asked = page.refresh(7);
    await soon();
    page.deeds.cancel();
    await asked;
    equal([page.person.shown(L_WRIST).x, server.saved.length], [5, 0]);
  },

  async who_is_shown_is_no_stranger_after_everybody_else_is_forgotten() {
    const server = makeStudio();
    const page = await makePage(server);
    await page.people.get(8);
    page.people.clear("other run", 7);
    equal(page.people.here(8), null);
    drag(page, L_WRIST, 20);
    await quiet(page.outbox);
    drag(page, L_WRIST, 5);
    await quiet(page.outbox);
    equal(server.saved.map((edit) => edit.base_revision), [{ 9: 0 }, { 9: 101 }]);
    assert(Date.now() - page.people.here(7).at > 10_000, "asked for again when it is opened");
  },

  // The server's answers

  async a_new_start_of_the_server_is_met_with_a_new_token() {
    let token = "old";
    const seen = [];
    const answer = (status, body) => ({ ok: status < 400, status, json: async () => body });
    const server = new Server(async (path, options = {}) => {
      if (path === "/api/session") return answer(200, { token });
      seen.push(options.headers["X-PoseStudio-Token"]);
      return seen.at(-1) === token ? answer(200, { results: [] }) : answer(403, { error: { kind: "token", message: "over" } });
    });
    await server.post("/api/edits", {});
    token = "new";
    await server.post("/api/edits", {});
    equal(seen, ["old", "old", "new"]);
  },

  async failures_are_told_apart() {
    const says = (make) => new Server(make).get("/x").then(() => "fine", (error) => (error instanceof Away ? "away" : error.kind));
    const answer = (status, body) => async () => ({ ok: status < 400, status, json: async () => JSON.parse(body) });
    equal(await says(() => Promise.reject(new TypeError("failed to fetch"))), "away");
    equal(await says(answer(503, '{"error": {"kind": "busy"}}')), "away");
    equal(await says(answer(200, "<html>")), "away");
    equal(await says(answer(404, '{"error": {"kind": "not_found", "message": "no"}}')), "not_found");
    equal(await says(answer(200, "{}")), "fine");
  },

  // Queue

  the_queue_never_reorders_and_knows_the_way() {
    const queue = new Queue();
    queue.load({ items: [5, 3, 9, 1].map((instance_id) => ({ instance_id })), seconds_per_person: 30 });
    equal(queue.words(), "0 of 4, about 2 min left");
    queue.finish(5, 20);
    queue.finish(9, 0, true);
    equal(queue.items.map((one) => one.instance_id), [5, 3, 9, 1]);
    equal([queue.step(5, 1), queue.step(5, -1), queue.step(1, 1), queue.step(77, 1)], [3, null, null, 3]);
    equal([queue.upcoming(3), queue.upcoming(1), queue.upcoming(null)], [[1], [3], [3, 1]]);
    equal(new Queue(JSON.parse(JSON.stringify(queue))).upcoming(null), [3, 1]);
    queue.finish(3, 10);
    queue.finish(1, 30);
    equal(queue.words(), "All 4 done");
    equal(queue.pace, 20, "the sitting's own pace");
  },

  async the_last_question_for_a_queue_counts() {
    const queue = new Queue();
    const answers = [open(), open()];
    const asked = answers.map((answer) => queue.renew(() => answer));
    answers[1].settle([{ items: [{ instance_id: 2 }] }, [{ run_id: "1" }]]);
    equal(await asked[1], true);
    queue.finish(2, 20);
    answers[0].settle([{ items: [{ instance_id: 1 }] }, []]);
    equal([await asked[0], queue.words(), queue.newest], [false, "All 1 done", "1"]);
    equal(await queue.renew(async () => { throw new Error("no such split"); }), true);
    equal(queue.answer, { items: [], note: "no such split" });
  },

  a_time_budget_takes_the_people_that_fit() {
    const queue = new Queue({ options: { minutes: "20" } });
    queue.load({ items: [1, 2, 3, 4].map((instance_id) => ({ instance_id })), fits: 2, total: 40, seconds_per_person: 600 });
    equal(queue.items.length, 2);
    equal(queue.words(), "0 of 2, about 20 min left");
    queue.load({ items: [1, 2].map((instance_id) => ({ instance_id })), fits: null, seconds_per_person: null });
    equal(queue.words(), "0 of 2");
  },

  async more_people_come_behind_those_in_hand() {
    const queue = new Queue();
    const people = (from, count) => [...Array(count).keys()].map((i) => ({ instance_id: from + i }));
    queue.load({ items: people(1, 60), total: 1000, seconds_per_person: null });
    equal(queue.words(), "0 of 1,000");
    const asked = [];
    const ask = (items) => async (limit) => {
      asked.push(limit);
      return { items, total: items.length };
    };
    equal(await queue.more(ask([])), false, "there are enough");
    for (let id = 1; id <= 31; id += 1) queue.finish(id, 1, id === 31);
    const later = open();
    const both = [queue.more(async (limit) => { asked.push(limit); return later; }), queue.more(ask([]))];
    later.settle({ items: [...people(500, 200), ...people(32, 29)], total: 969 });
    equal(await Promise.all(both), [true, false]);
    equal([asked, queue.items.length, queue.items[59].instance_id, queue.items[60].instance_id], [[229], 260, 60, 500]);
    equal(queue.words().slice(0, 11), "31 of 1,000");
    for (let id = 32; id <= 60; id += 1) queue.finish(id, 1);
    for (let id = 500; id < 680; id += 1) queue.finish(id, 1);
    equal(await queue.more(async () => { throw new Away("down"); }), false);
    equal(await queue.more(ask([...people(680, 20), ...people(9, 1)])), false, "nobody is left");
    equal([queue.items.length, queue.total], [260, 260]);
    equal(await queue.more(ask([])), false);
    equal(asked.length, 2, "not asked again");
  },

  a_budget_may_hold_more_people_than_are_in_hand() {
    const queue = new Queue({ options: { minutes: "60" } });
    queue.load({ items: [...Array(200).keys()].map((instance_id) => ({ instance_id })), fits: 300, total: 1000, seconds_per_person: 12 });
    equal(queue.words(), "0 of 300, about 60 min left");
  },

  a_queue_hears_of_runs_that_came_after_it() {
    const queue = new Queue();
    const runs = (...ids) => ids.map((run_id) => ({ run_id }));
    queue.load({ items: [], run_id: "1" }, runs("1"));
    queue.hear(runs("1"));
    equal(queue.newer, null);
    const reloaded = new Queue(JSON.parse(JSON.stringify(queue)));
    reloaded.hear(runs("2", "1"));
    equal([reloaded.newer, queue.newer], ["2", null]);
    reloaded.load({ items: [], run_id: "1" }, runs("2", "1")); // 2 has not predicted yet
    reloaded.hear(runs("2", "1"));
    equal(reloaded.newer, null);
    queue.options.run = "1";
    queue.hear(runs("2", "1"));
    equal(queue.newer, "2", "also where a run was chosen");
    queue.options.order = "random";
    queue.hear(runs("2", "1"));
    equal(queue.newer, null, "the order does not depend on a run");
  },

  an_address_changes_only_what_it_names() {
    const queue = new Queue();
    const runs = (...ids) => ids.map((run_id) => ({ run_id }));
    const take = (address, ...ids) => queue.take(new URLSearchParams(address), runs(...ids));
    const load = (run_id, ...ids) => queue.load({ items: [], run_id }, runs(...ids));
    assert(take("", "1"), "there is no queue yet");
    load("1", "1");
    Object.assign(queue.options, { order: "variety", split: "train", minutes: "20" });
    assert(!take("instance=12", "1") && !take("run=", "1") && !take("order=variety", "1"));
    assert(take("instance=12&run=1", "1"));
    equal(queue.options, { order: "variety", split: "train", run: "1", minutes: "20" });
    load("1", "1");
    assert(!take("instance=12", "2", "1"), "the queue in hand stays");
    equal([queue.newer, queue.options.run], ["2", "1"]);
    assert(take("run=", "2", "1"));
    equal([queue.options.run, queue.options.order], ["", "variety"]);
    load("2", "2", "1");
    assert(!take("run=", "2", "1") && take("run=", "3", "2", "1"), "the newest run is another by now");
  },

  a_pause_does_not_count_as_work() {
    let at = 0;
    const watch = new Stopwatch(() => at, 20);
    watch.touch();
    at = 5_000;
    watch.touch();
    at = 3_600_000;
    equal(watch.take(), 25);
    equal(watch.take(), 0);
  },

  a_name_is_refused_where_it_is_typed_by_the_servers_rule() {
    for (const name of ["Ann", "\u0646\u0631\u06af\u0633\u200c\u062e\u0627\u0646", "Ann\u00a0Lee", "\u{1f468}\u200d\u{1f4bb}"]) equal(nameFault(name), "");
    for (const name of ["", " ", "a\tb", "a\u2028b", "a\u2029b", "a\x7f", "a\ud83d"]) assert(nameFault(name).length > 10, JSON.stringify(name));
  },

  // Heat and words

  a_heatmap_cell_lies_over_its_image_pixel() {
    const toImage = [[4, 0.5, 10], [-0.5, 4, 20]];
    const [a, b, c, d, e, f] = placement(toImage);
    for (const [col, row] of [[0, 0], [7, 3], [2, 11]]) {
      const [u, v] = [col + 0.5, row + 0.5]; // the cell's center on the canvas
      near(a * u + c * v + e, 4 * col + 0.5 * row + 10 + 0.5);
      near(b * u + d * v + f, -0.5 * col + 4 * row + 20 + 0.5);
    }
  },

  a_heatmap_is_shown_while_the_keypoint_is_open() {
    const node = () => ({ style: {}, getContext: () => ({ putImageData() {} }) });
    globalThis.ImageData ??= class { constructor(w, h) { this.data = new Uint8ClampedArray(4 * w * h); } };
    const [canvas, scale] = [node(), node()];
    const heat = new Heat(canvas, scale);
    const shown = (k, open) => {
      heat.draw(k, open);
      return canvas.style.display === "block" && !scale.hidden;
    };
    assert(!shown(0, true), "there are no maps yet");
    heat.load({ h: 1, w: 1, students: ["a", "b"], keypoints: 2, bytes: new Uint8Array(4), toImage: [[1, 0, 0], [0, 1, 0]] });
    equal([shown(0, true), shown(1, false), shown(1, true)], [true, false, true]);
    heat.show = "a";
    equal([shown(1, false), shown(5, true)], [true, false]);
    heat.show = "off";
    assert(!shown(1, true));
    assert(scale.style.backgroundImage.startsWith("linear-gradient(to right, rgb(68 1 84)"));
  },

  heatmaps_are_read_by_student_and_keypoint() {
    const bytes = Uint8Array.from({ length: 2 * 17 * 6 }, (_, i) => i);
    const answer = { size: [2, 3], students: ["a", "b"], maps: btoa(String.fromCharCode(...bytes)), to_image: [[1, 0, 0], [0, 1, 0]] };
    const maps = decode(answer, 17);
    equal([...plane(maps, 2, [0])], [12, 13, 14, 15, 16, 17]);
    equal([...plane(maps, 2, [0, 1])], [...bytes.slice(19 * 6, 20 * 6)]);
    const colors = table();
    equal([colors[3], colors[4 * 255 + 3]], [0, 255]);
    let refused = false;
    try {
      decode({ ...answer, size: [9, 9] }, 17);
    } catch {
      refused = true;
    }
    assert(refused);
  },

  words() {
    equal([percent(0), percent(0.004), percent(0.314), percent(0.999), percent(1)], ["0 %", "< 1 %", "31 %", "> 99 %", "100 %"]);
    equal(listed(["a", "b", "c"]), "a, b and c");
    const at = new Date(2026, 0, 31, 9, 5, 7);
    equal(clock(at.toISOString(), at), "09:05:07");
    equal(clock(at.toISOString(), new Date(2026, 1, 1)), "2026-01-31 09:05:07");
    equal(clock("nonsense"), "");
    const before = { state: "placed", x: 1, y: 1, v: 2 };
    equal(deedWords({ state: "placed", x: 4, y: 5, v: 1, origin: "edit" }, before), "moved 5 px to (4, 5), now hidden");
    equal([sure({ error: 0.62, score: 0.3 }, true), sure({ error: null, score: 0.83 }, true), sure({ score: 0.83 }, false)], ["62 %", "score 0.83", "0.83"]);
    const moved = { state: "placed", x: 4, y: 5, v: 2, origin: "edit", run_id: "0003-calm-owl", predicted: [4, 19] };
    equal(deedWords(moved, undefined), "moved 14 px from the prediction of 0003-calm-owl to (4, 5), visible");
    equal(deedWords({ ...moved, v: 1, predicted: [4, 5] }, undefined), "hidden where 0003-calm-owl predicted it");
    equal(deedWords({ ...moved, run_id: null, predicted: null }, undefined), "placed, visible, at (4, 5)");
    equal(deedWords(moved, before), "moved 5 px to (4, 5)");
    equal(deedWords({ state: "placed", x: 4, y: 5, v: 2, origin: "accept" }, null), "accepted as predicted at (4, 5)");
  },
};

/** Run all; returns [name, what went wrong or null] of each. */
export async function run() {
  const told = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test();
      told.push([name, null]);
    } catch (error) {
      told.push([name, String(error.stack ?? error)]);
    }
  }
  return told;
}
