// Long work on the server: new jobs, their progress, pause, resume, cancel, their segments and files.

import { ApiError, getJson, hasKey, request } from "./api.js";
import { Clip, SAMPLE_RATE } from "./clip.js";
import { $, clock, confirm, duration, el, fileName, icon, number, options as fill, root, saveFile, showError, t } from "./page.js";

const PATH = "/v1/audio/jobs";
const FORMATS = ["mp3", "m4b", "opus", "aac", "flac", "wav"];
const EVERY_MS = 1500;
const ACTIVE = ["queued", "running"];
const SEGMENTS_SHOWN = 200;

export class Jobs {
  #rows = new Map(); // id -> Row
  #player;
  #source;
  #timer = null;

  /** source(): {text, voice, options} of the Speak page. */
  constructor(player, source) {
    this.#player = player;
    this.#source = source;
    $("job-new").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    $("job-file").addEventListener("change", () => this.#describe());
    document.addEventListener("view", ({ detail }) => (detail === "jobs" ? this.#open() : this.#close()));
  }

  #open() {
    this.#describe();
    this.refresh();
    this.#timer ??= setInterval(() => document.hidden || this.refresh({ quiet: true }), EVERY_MS);
  }

  #close() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #describe() {
    const { text, voice } = this.#source();
    $("job-voice").textContent = t("jobs.with", { voice });
    $("job-source").textContent = $("job-file").files.length ? "" : t("jobs.or_text", { n: number([...text].length) });
  }

  async #start() {
    const { text, voice, options } = this.#source();
    const file = $("job-file").files[0];
    if (!file && !text.trim()) return showError(t("jobs.nothing"));
    const fields = { ...options, voice, response_format: $("job-format").value, title: $("job-title").value.trim() };
    try {
      showError("");
      if (file) {
        const body = new FormData();
        for (const [name, value] of Object.entries(fields)) body.append(name, value);
        body.append("file", file);
        await request(PATH, { method: "POST", body });
      } else await request(PATH, { json: { ...fields, title: fields.title || null, input: text } });
      $("job-new").reset();
      this.#describe();
      await this.refresh();
    } catch (error) {
      showError(error.message);
    }
  }

  async refresh(init) {
    let jobs;
    try {
      jobs = (await getJson(`${PATH}?limit=100`, init)).data;
    } catch (error) {
      if (error.status === 404) {
        $("jobs-empty").textContent = t("jobs.unavailable");
        $("job-new").hidden = true;
        $("jobs-empty").hidden = false;
      }
      return;
    }
    $("jobs-empty").hidden = jobs.length > 0;
    for (const job of jobs) {
      if (!this.#rows.has(job.id)) this.#rows.set(job.id, new Row(this.#player, (path, method) => this.#act(path, method)));
      this.#rows.get(job.id).show(job);
    }
    for (const id of this.#rows.keys()) if (!jobs.some((job) => job.id === id)) this.#rows.delete(id);
    const wanted = jobs.map(({ id }) => this.#rows.get(id).element);
    const list = $("jobs-list");
    if (wanted.length !== list.children.length || wanted.some((row, i) => row !== list.children[i])) list.replaceChildren(...wanted);
  }

  async #act(path, method = "POST") {
    try {
      showError("");
      await request(PATH + path, { method });
    } catch (error) {
      showError(error.message);
    }
    await this.refresh();
  }
}

class Row {
  #job = null;
  #segments = new Map(); // number -> its line
  #shownAt = null; // updated_at of the job when its segments were last asked for
  #player;

  constructor(player, act) {
    this.#player = player;
    const button = (name, action, look = "quiet") => el("button", { type: "button", class: look, onclick: action }, t(`jobs.${name}`));
    const id = () => `/${this.#job.id}`;
    this.title = el("h3");
    this.state = el("span", { class: "badge" });
    this.bar = el("progress", { max: 1, value: 0 });
    this.told = el("p", { class: "dim" });
    this.error = el("p", { class: "bad", hidden: true });
    this.buttons = {
      pause: button("pause", () => act(`${id()}/pause`)),
      resume: button("resume", () => act(`${id()}/resume`)),
      cancel: button("cancel", () => act(`${id()}/cancel`), "quiet danger"),
      delete: button("delete", async () => (await confirm(t("jobs.delete_sure", { title: this.#job.title }))) && act(id(), "DELETE"), "quiet danger"),
    };
    this.format = el("select", { "aria-label": t("jobs.format") });
    this.download = el("span", { class: "group" }, this.format, button("download", () => this.#save(`audio?format=${this.format.value}`, this.format.value)));
    this.captions = el("span", { class: "group" },
      ...["srt", "vtt"].map((kind) => el("button", { type: "button", class: "quiet", onclick: () => this.#save(`captions.${kind}`, kind) }, `${t("jobs.captions")} ${kind}`)));
    this.list = el("ol", { class: "job-segments" });
    this.act = act;
    const details = el("details", { ontoggle: () => details.open && this.#showSegments() }, el("summary", {}, t("jobs.segments")), this.list);
    this.details = details;
    this.element = el("li", { class: "card job" },
      el("div", { class: "bar" }, this.title, this.state), this.bar, this.told, this.error,
      el("div", { class: "bar wrap" }, this.buttons.pause, this.buttons.resume, this.download, this.captions, el("span", { class: "grow" }), this.buttons.cancel, this.buttons.delete),
      details);
  }

  show(job) {
    const before = this.#job;
    this.#job = job;
    this.title.textContent = job.title;
    this.state.textContent = t(`jobs.state.${job.state}`);
    this.state.dataset.state = job.state;
    this.bar.value = job.segments_total ? job.segments_done / job.segments_total : 0;
    this.bar.setAttribute("aria-label", job.title);
    const left = job.time_left_s ? ` · ${t("jobs.left", { time: duration(job.time_left_s) })}` : "";
    this.told.textContent = `${job.voice} · ${t("jobs.progress", { done: job.segments_done, total: job.segments_total, audio: clock(job.audio_s) })}${left}`;
    this.error.textContent = job.error ?? "";
    this.error.hidden = !job.error;
    const active = ACTIVE.includes(job.state);
    this.buttons.pause.hidden = !active;
    this.buttons.resume.hidden = job.state !== "paused" && job.state !== "failed";
    this.buttons.cancel.hidden = !active && job.state !== "paused";
    this.buttons.delete.hidden = active;
    this.download.hidden = this.captions.hidden = !job.audio_s;
    if (!before) fill(this.format, FORMATS.map((name) => [name]), job.response_format);
    if (this.details.open && this.#shownAt !== job.updated_at) this.#showSegments();
  }

  async #showSegments() {
    this.#shownAt = this.#job.updated_at;
    try {
      const { data } = await getJson(`${PATH}/${this.#job.id}/segments?limit=${SEGMENTS_SHOWN}`, { quiet: true });
      for (const segment of data) this.#line(segment);
    } catch (error) {
      showError(error.message);
    }
  }

  #line(segment) {
    let line = this.#segments.get(segment.number);
    if (!line) {
      const label = t("jobs.segment", { n: segment.number + 1 });
      line = {
        play: el("button", { type: "button", class: "round", "aria-label": `${t("jobs.play")}: ${label}`, onclick: () => this.#play(segment.number) }, icon("play")),
        text: el("span"),
        again: el("button", { type: "button", class: "quiet", "aria-label": `${t("jobs.regenerate")}: ${label}`, onclick: () => this.act(`/${this.#job.id}/segments/${segment.number}/regenerate`) }, t("jobs.regenerate")),
      };
      this.#segments.set(segment.number, line);
      this.list.append(el("li", {}, line.play, line.text, line.again));
    }
    line.segment = segment;
    line.play.disabled = !segment.has_audio;
    line.again.disabled = !segment.text || segment.state === "waiting";
    line.text.textContent = segment.problem ? `${segment.text} – ${segment.problem}` : segment.text;
    line.text.className = segment.problem ? "bad" : segment.has_audio ? "" : "dim";
  }

  /** Play a segment, then those after it. */
  async #play(number) {
    try {
      const response = await request(`${PATH}/${this.#job.id}/segments/${number}/audio`);
      const samples = await decode(await response.arrayBuffer());
      const { text, voice } = this.#segments.get(number).segment;
      const clip = Clip.of(samples, { text, voice, options: {}, segments: [], state: "done" });
      this.#player.load(clip);
      await this.#player.play();
      this.#player.addEventListener("ended", () => {
        if (this.#player.clip === clip && this.#segments.get(number + 1)?.segment.has_audio) this.#play(number + 1);
      }, { once: true });
    } catch (error) {
      showError(error.message);
    }
  }

  /** Straight to disk where no key is needed; else through memory. */
  async #save(what, extension) {
    const path = `${PATH}/${this.#job.id}/${what}`, name = fileName(this.#job.title, extension);
    if (!hasKey()) return el("a", { href: root + path, download: name }).click();
    try {
      saveFile(await (await request(path)).blob(), name);
    } catch (error) {
      showError(error instanceof ApiError ? error.message : t("speak.broken"));
    }
  }
}

/** Any audio file as 24 kHz 16-bit samples. */
async function decode(file) {
  const buffer = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(file);
  return Int16Array.from(buffer.getChannelData(0), (value) => Math.max(-32768, Math.min(32767, Math.round(value * 32768))));
}
