// Every generation made in this browser: kept in IndexedDB, played, saved, made again, compared.

import { Clip } from "./clip.js";
import { $, announce, bytes, clock, confirm, el, icon, options as fill, setIcon, showError, t } from "./page.js";
import { download } from "./download.js";
import { Options } from "./options.js";
import { all, dropAllClips, dropClip, keepClip, load } from "./store.js";
import { drawOutline } from "./wave.js";

const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"];
const OUTLINE = 240;

/** Fires "reuse" and "regenerate" with the entry as detail. */
export class History extends EventTarget {
  #entries = [];
  #player;
  #chosen = []; // at most two ids to compare

  constructor(player) {
    super();
    this.#player = player;
    for (const event of ["play", "pause", "ended", "clip"]) player.addEventListener(event, () => this.#mark());
    $("history-clear").addEventListener("click", () => this.#clear());
    this.#read();
  }

  async #read() {
    try {
      this.#entries = (await all("clips")).sort((a, b) => b.created - a.created);
    } catch (error) {
      showError(error.message);
    }
    this.show();
  }

  /** Keep what a generation made, also of one that was stopped. */
  async add(clip) {
    const { text, voice, options, segments, planned, firstSound, elapsed, state } = clip.about;
    const entry = {
      id: `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`,
      created: Date.now(), text, voice, options, segments, planned, firstSound, elapsed, state,
      seconds: clip.seconds, bytes: clip.length * 2, outline: clip.outline(OUTLINE),
    };
    clip.about.id = entry.id;
    try {
      await keepClip(entry, clip.samples.slice().buffer);
    } catch {
      return showError(t("history.full"));
    }
    this.#entries.unshift(entry);
    this.show();
  }

  /** Draw the list; the outlines need it to be seen. */
  show() {
    const entries = this.#entries;
    $("history-empty").hidden = entries.length > 0;
    $("history-clear").hidden = !entries.length;
    $("history-summary").textContent = entries.length
      ? t("history.summary", { n: entries.length, size: bytes(entries.reduce((sum, entry) => sum + entry.bytes, 0)) }) : "";
    const rows = new Map([...$("history-list").children].map((row) => [row.dataset.id, row]));
    $("history-list").replaceChildren(...entries.map((entry) => rows.get(entry.id) ?? this.#row(entry)));
    this.#outlines();
    this.#mark();
  }

  #outlines() {
    if ($("history").hidden) return;
    for (const canvas of document.querySelectorAll("#history canvas")) {
      const entry = this.#entries.find(({ id }) => id === canvas.dataset.id);
      if (entry) drawOutline(canvas, entry.outline);
    }
  }

  #row(entry) {
    const button = (name, action, more = {}) => el("button", { type: "button", class: "quiet", onclick: action, ...more }, t(`history.${name}`));
    const format = el("select", { "aria-label": t("history.download_as") });
    fill(format, FORMATS.map((name) => [name]), entry.options.response_format ?? "mp3");
    const about = [
      new Date(entry.created).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }),
      Options.summary(entry.options),
      entry.state === "done" ? "" : t(`history.${entry.state}`),
    ];
    return el("li", { class: "card clip", "data-id": entry.id },
      el("button", { type: "button", class: "round", "data-play": entry.id, "aria-label": t("history.play"), onclick: () => this.play(entry) }, icon("play")),
      el("div", { class: "clip-text" },
        el("p", { class: "excerpt" }, entry.text),
        el("p", { class: "dim" }, el("strong", {}, entry.voice), ` · ${clock(entry.seconds)} · ${about.filter(Boolean).join(" · ")}`)),
      el("canvas", { class: "outline", "data-id": entry.id, "aria-hidden": "true" }),
      el("div", { class: "bar wrap" },
        button("reuse", () => this.#fire("reuse", entry), { title: t("history.reuse_help") }),
        button("regenerate", () => this.#fire("regenerate", entry)),
        button("compare", () => this.#compare(entry), { "aria-pressed": "false", "data-compare": entry.id }),
        el("span", { class: "group" }, format, button("download", () => this.#download(entry, format.value))),
        el("span", { class: "grow" }),
        button("delete", () => this.#delete(entry), { class: "quiet danger" })));
  }

  #fire(name, entry) {
    this.dispatchEvent(new CustomEvent(name, { detail: entry }));
  }

  async #samples(entry) {
    return new Int16Array((await load("pcm", entry.id)).pcm);
  }

  /** Play, or pause what plays. from: seconds. */
  async play(entry, from = null) {
    const player = this.#player;
    if (player.clip?.about.id === entry.id && from === null) return player.paused ? player.play() : player.pause();
    const clip = Clip.of(await this.#samples(entry), { ...entry });
    player.load(clip);
    if (from !== null) player.currentTime = from;
    await player.play();
    this.#fire("playing", entry);
  }

  async #download(entry, format) {
    try {
      await download(await this.#samples(entry), format, entry.text);
    } catch (error) {
      showError(error.message);
    }
  }

  async #delete(entry) {
    const place = this.#entries.indexOf(entry);
    await dropClip(entry.id);
    this.#entries.splice(place, 1);
    this.#chosen = this.#chosen.filter((id) => id !== entry.id);
    this.show();
    this.#showComparison();
    const next = $("history-list").children[Math.min(place, this.#entries.length - 1)];
    (next?.querySelector("button") ?? $("history-heading")).focus();
  }

  async #clear() {
    if (!(await confirm(t("history.delete_all_sure", { n: this.#entries.length })))) return;
    await dropAllClips();
    this.#entries = [];
    this.#chosen = [];
    this.show();
    this.#showComparison();
    announce(t("history.empty"));
    $("history-heading").focus();
  }

  /** Buttons of what plays show a pause. */
  #mark() {
    const { clip, paused } = this.#player;
    for (const button of document.querySelectorAll("[data-play]")) {
      const playing = !paused && clip?.about.id === button.dataset.play;
      setIcon(button, playing ? "pause" : "play");
      button.setAttribute("aria-label", t(playing ? "player.pause" : "history.play"));
      button.closest(".card").classList.toggle("current", clip?.about.id === button.dataset.play);
    }
  }

  // Two side by side

  #compare(entry) {
    const chosen = this.#chosen.includes(entry.id);
    this.#chosen = chosen ? this.#chosen.filter((id) => id !== entry.id) : [...this.#chosen.slice(-1), entry.id];
    this.#showComparison();
  }

  #showComparison() {
    const pair = this.#chosen.map((id) => this.#entries.find((entry) => entry.id === id));
    for (const button of document.querySelectorAll("[data-compare]")) button.setAttribute("aria-pressed", this.#chosen.includes(button.dataset.compare));
    $("compare").hidden = !pair.length;
    if (!pair.length) return $("compare").replaceChildren();
    const close = el("button", { type: "button", class: "quiet", onclick: () => ((this.#chosen = []), this.#showComparison()) }, t("history.compare_close"));
    const turn = el("button", { type: "button", class: "primary", disabled: pair.length < 2, onclick: () => this.#switch(pair) }, t("history.compare_switch"));
    $("compare").replaceChildren(
      el("div", { class: "bar wrap" }, el("h3", {}, t("history.compare_title")), el("span", { class: "grow" }), turn, close),
      pair.length < 2 ? el("p", { class: "dim" }, t("history.compare_pick")) : this.#table(pair));
    this.#outlines();
    this.#mark();
  }

  #table(pair) {
    const [a, b] = pair;
    const rows = [
      ["history.voice", a.voice, b.voice],
      ["options.label", Options.summary(a.options) || "–", Options.summary(b.options) || "–"],
      ["history.length", clock(a.seconds), clock(b.seconds)],
      ["history.first", seconds(a.firstSound), seconds(b.firstSound)],
    ];
    if (a.text !== b.text) rows.push(["history.text", a.text, b.text]);
    const head = pair.map((entry, i) => el("th", { scope: "col" }, el("span", { class: "card-side" },
      el("button", { type: "button", class: "round", "data-play": entry.id, "aria-label": t("history.play"), onclick: () => this.play(entry) }, icon("play")), "AB"[i],
      el("canvas", { class: "outline", "data-id": entry.id, "aria-hidden": "true" }))));
    return el("div", { class: "card table" }, el("table", {},
      el("thead", {}, el("tr", {}, el("td"), ...head)),
      el("tbody", {}, ...rows.map(([key, one, other]) => el("tr", { class: one === other ? "" : "differs" }, el("th", { scope: "row" }, t(key)), el("td", {}, one), el("td", {}, other))))));
  }

  /** The other one, from the same place. */
  #switch(pair) {
    const { clip, currentTime } = this.#player;
    const place = pair.findIndex((entry) => entry.id === clip?.about.id);
    const next = pair[place === 0 ? 1 : 0];
    return this.play(next, place < 0 ? 0 : Math.min(currentTime, next.seconds));
  }
}

const seconds = (value) => (value == null ? "–" : `${value.toFixed(2)} s`);
