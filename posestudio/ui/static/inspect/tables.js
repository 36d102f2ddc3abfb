/* What the maps of a person are laid out as: one keypoint with every step of the method, or all keypoints with one.

   Every function returns {node, tiles}: tiles are drawn and read by whoever shows them. In every row and column a tile
   covers the same crop, so the same place lies at the same spot of all of them. */

import { el } from "../editor/dom.js";
import { button, glyph } from "../shared/page.js";
import { difference, largest } from "./data.js";
import { Tile, number } from "./paint.js";

/** What the overview shows of every keypoint. */
export const TOGETHER = "All in one";
export const LAYERS = ["Beliefs", "Votes", "Offers", "Uncertainty", "Targets", TOGETHER];

const WIDEST = 4; // views beside each other; more of them go on in the next line

/** Everything about keypoint k, or with null the largest over all keypoints: rows a, b and a minus b. */
export function matrix(look, k) {
  const maker = new Maker(look, k);
  const across = Math.min(WIDEST, look.views.length);
  const heads = ["Belief", [across > 1 ? "Votes of the views" : "Vote", across], "Before refine", "After refine",
    "Uncertainty", "Target"].map((head) => {
    const [words, span] = [head].flat();
    const node = el("div.pi-head", {}, words);
    if (span) node.style.gridColumn = `span ${span}`;
    return node;
  });
  const rows = look.voters.map((_, o) => maker.row(o));
  if (look.voters.length > 1) rows.push(maker.between());
  const node = el("div.pi-matrix", {}, el("div.pi-head"), ...heads, ...rows.flat());
  node.style.setProperty("--columns", 5 + across);
  node.style.setProperty("--across", across);
  return { node, tiles: maker.tiles };
}

/** A card for every keypoint with what a layer shows of it. */
export function overview(look, layer, choose) {
  const tiles = [];
  const order = [...look.keypoints.keys()].sort((a, b) => look.keypoints[b].taught - look.keypoints[a].taught);
  const cards = order.map((k) => {
    const keypoint = look.keypoints[k];
    const maker = new Maker(look, k);
    const rows = maker.layer(layer);
    tiles.push(...maker.tiles);
    const chips = [];
    if (!keypoint.taught) chips.push(el("span.ps-chip", {}, "untaught"));
    if (keypoint.label) chips.push(el("span.ps-chip.ps-done", {}, `label v ${keypoint.label.v}`));
    if (keypoint.absent) chips.push(el("span.ps-chip", {}, `absent: ${keypoint.absent}`));
    const head = button([glyph(keypoint.side), el("b", {}, keypoint.spoken), ...chips], () => choose(k),
      "button.pi-card-head", { "aria-label": `Show ${keypoint.spoken} alone` });
    return el("article.pi-card", {}, head, ...rows);
  });
  return { node: el(`div.pi-cards.pi-cards-${layer.toLowerCase()}`, {}, ...cards), tiles };
}

/** Makes figures of one keypoint (k) or of all (null), and keeps their tiles. */
class Maker {
  constructor(look, k) {
    this.look = look;
    this.k = k;
    this.name = k === null ? "all keypoints" : look.keypoints[k].spoken;
    this.tiles = [];
  }

  /** A map of a part; over all keypoints the largest. */
  map(part, ...index) {
    if (this.k !== null) return this.look.map(part, ...index, this.k);
    return largest(this.look.keypoints.map((_, k) => this.look.map(part, ...index, k)));
  }

  /** a minus b of a part; over all keypoints the one farthest from 0. */
  minus(part, ...index) {
    const one = (k) => difference(this.look.map(part, 0, ...index, k), this.look.map(part, 1, ...index, k));
    return this.k !== null ? one(this.k) : largest(this.look.keypoints.map((_, k) => one(k)), Math.abs);
  }

  figure(map, kind, words, caption, options = {}) {
    const tile = new Tile(this.look, map, kind, `${words}, ${this.name}`, options);
    this.tiles.push(tile);
    return el("figure.pi-figure", {}, tile.node, el("figcaption", {}, ...caption));
  }

  nothing(words) {
    return el("figure.pi-figure", {}, el("div.pi-tile.pi-none", {}, words), el("figcaption"));
  }

  belief(s) {
    const { look, k } = this;
    const name = look.students[s];
    if (k === null) return this.figure(this.map("beliefs", s), "belief", `Belief of student ${name}`, [el("b", {}, name)]);
    const score = look.scores[s][k];
    const marks = [{ at: look.points[s][k], kind: "peak" }];
    if (look.keypoints[k].label) marks.push({ at: look.keypoints[k].label.xy, kind: "label" });
    for (const other of look.others) marks.push({ at: other.points[k], kind: "other", words: other.name });
    return this.figure(this.map("beliefs", s), "belief", `Belief of student ${name}, peak ${score.toFixed(2)}`,
      [el("b", {}, name), ` peak ${score.toFixed(2)}`], { marks });
  }

  vote(o, v) {
    const { look, k } = this;
    const view = look.views[v];
    if (k === null) return this.figure(this.map("votes", o, v), "belief", `Vote of ${look.voters[o]}, ${view}`, [view]);
    const [score, agrees] = [look.vote_scores[o][v][k], look.agrees[o][v][k]];
    const word = agrees ? "agrees" : "outlier";
    return this.figure(this.map("votes", o, v), "belief",
      `Vote of ${look.voters[o]} on the view ${view}, peak ${score.toFixed(2)}, ${word}`,
      [view, el("br"), score.toFixed(2), " ", el(`i.pi-${word}`, {}, word)],
      { marks: [{ at: look.vote_peaks[o][v][k], kind: "peak" }], off: !agrees });
  }

  before(o) {
    const map = this.map("before", o);
    const peak = Math.max(...map).toFixed(2);
    return this.figure(map, "belief", `Offer of ${this.look.voters[o]} before refine, peak ${peak}`, [`peak ${peak}`]);
  }

  after(o) {
    const { look, k } = this;
    const map = this.map("after", o);
    if (k === null) return this.figure(map, "belief", `Offers of ${look.voters[o]} after refine`, [this.accepted(o)]);
    const word = look.accepted[o][k] ? "accepted" : "rejected";
    return this.figure(map, "belief", `Offer of ${look.voters[o]} after refine, ${word}`, [el(`i.pi-${word}`, {}, word)],
      { off: word === "rejected" });
  }

  accepted(o) {
    const taken = this.look.accepted[o].filter(Boolean).length;
    return `${taken} of ${this.look.keypoints.length} accepted`;
  }

  unsure(o) {
    const { look, k } = this;
    const words = k === null ? "" : `u ${look.uncertainty[o][k].toFixed(3)}`;
    return this.figure(this.map("uncertainty", o), "uncertainty", `Uncertainty of the offer of ${look.voters[o]} ${words}`, [words]);
  }

  target(s) {
    const { look, k } = this;
    const map = this.map("targets", s);
    if (k === null) return this.figure(map, "belief", `Targets of student ${look.students[s]}`, [`${look.students[s]} learns`]);
    const chosen = look.chosen[s][k];
    const source = chosen < 0 ? "nothing" : look.shared ? "the shared offer" : whose(look, s, chosen);
    return this.figure(map, "belief", `Target of student ${look.students[s]}: ${source}`,
      ["← ", source], { off: chosen < 0 });
  }

  /** All steps of one voter. */
  row(o) {
    const { look } = this;
    const name = look.voters[o];
    const student = o < look.students.length;
    return [
      el("div.pi-row-name", {}, el("b", {}, name), el("span", {}, student ? "student" : "voter")),
      student ? this.belief(o) : this.nothing("did not learn"),
      el("div.pi-votes", {}, ...look.views.map((_, v) => this.vote(o, v))),
      this.before(o), this.after(o), this.unsure(o),
      student ? this.target(o) : this.nothing("did not learn"),
    ];
  }

  /** a minus b of every step. */
  between() {
    const { look } = this;
    const both = look.students.length > 1;
    const apart = this.k === null ? null : look.keypoints[this.k].apart;
    const words = apart ? `${apart.px.toFixed(0)} px apart` : null;
    return [
      el("div.pi-row-name", {}, el("b", {}, "a − b"), el("span", {}, "difference")),
      both ? this.gap("beliefs", "Beliefs", words) : this.nothing("one student"),
      el("div.pi-votes", {}, ...look.views.map((view, v) => this.gap("votes", `Votes on the view ${view}`, null, v))),
      this.gap("before", "Offers before refine"), this.gap("after", "Offers after refine"),
      this.gap("uncertainty", "Uncertainties"), both ? this.gap("targets", "Targets") : this.nothing("one student"),
    ];
  }

  gap(part, words, caption = null, ...index) {
    const map = this.minus(part, ...index);
    const far = map.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const told = Math.abs(far) < 0.0005 ? "the same" : `up to ${number(far).replace(/\d$/, "")}`;
    return this.figure(map, "difference", `${words}, a minus b, ${told}`, [caption ?? told]);
  }

  /** What a card of the overview shows. */
  layer(layer) {
    const { look } = this;
    const line = (...figures) => el("div.pi-line", {}, ...figures);
    const both = look.students.length > 1;
    const apart = look.keypoints[this.k].apart;
    const far = apart && look.keypoints[this.k].taught && apart.share > look.far;
    switch (layer) {
      case "Votes":
        return look.voters.map((name, o) => line(el("b.pi-line-name", {}, name), ...look.views.map((_, v) => this.vote(o, v))));
      case "Offers":
        return look.voters.map((name, o) => line(el("b.pi-line-name", {}, name), this.before(o),
          el("span.pi-arrow", { "aria-hidden": "true" }, "→"), this.after(o),
          el("p.pi-reason", {}, look.keypoints[this.k].reasons[o])));
      case "Uncertainty":
        return [line(...look.voters.map((_, o) => this.unsure(o)))];
      case "Targets":
        return [line(...look.students.map((_, s) => this.target(s)))];
      default:
        return [
          line(...look.students.map((_, s) => this.belief(s)), ...(both ? [this.gap("beliefs", "Beliefs")] : [])),
          apart && el(far ? "p.pi-apart.pi-far" : "p.pi-apart", {}, `a and b ${apart.px.toFixed(0)} px apart`),
        ];
    }
  }
}

const whose = (look, s, chosen) =>
  look.voters[chosen] === look.students[s] ? "its own offer" : `${look.voters[chosen]}'s offer`;
