// The text: typed, dropped, kept; counted and planned; sounds put in at the cursor; read along while it is spoken.

import { $, announce, duration, el, memory, number, showError, t } from "./page.js";
import { readEpub } from "./epub.js";
import { plan } from "./speech.js";

const PLAN_AFTER_MS = 500;
const PLAN_CHARS = 50_000; // more is not sent at every pause in typing

export class Editor extends EventTarget {
  #voices;
  #options;
  #planning = null;
  #timer = null;
  #shown = null; // the clip that is read along

  constructor(voices, options) {
    super();
    this.#voices = voices;
    this.#options = options;
    if (!$("text").value) $("text").value = memory.get("draft", "");
    $("text").addEventListener("input", () => this.#changed());
    voices.addEventListener("change", () => this.#voiceChanged());
    options.addEventListener("change", () => this.#planSoon());
    $("clear").addEventListener("click", () => this.#put(""));
    $("example").addEventListener("click", () => this.#put(t("text.example_text")));
    this.#watchFiles();
    this.#watchTabs();
    this.#voiceChanged();
  }

  get text() {
    return $("text").value;
  }

  set text(text) {
    $("text").value = text;
    this.#changed();
  }

  /** Replace the text so that Ctrl+Z brings the old one back. */
  #put(text) {
    this.show("write");
    $("text").focus();
    $("text").select();
    if (!document.execCommand("insertText", false, text) || this.text !== text) this.text = text;
    $("text").setSelectionRange(0, 0);
    $("text").scrollTop = 0;
  }

  #changed() {
    memory.set("draft", this.text);
    this.#count();
    this.#planSoon();
  }

  #count() {
    const { text } = this;
    const words = text.replace(/<[^<>\s]{1,30}>/g, " ").match(/[\p{L}\p{N}][\p{L}\p{M}\p{N}'’-]*/gu)?.length ?? 0;
    $("counts-text").textContent = t("text.counts", { characters: number([...text].length), words: number(words) });
    $("example").hidden = text !== "";
    $("clear").hidden = text === "";
  }

  #planSoon() {
    clearTimeout(this.#timer);
    this.#planning?.abort();
    this.#timer = setTimeout(() => this.#plan(), PLAN_AFTER_MS);
  }

  async #plan() {
    const { text } = this;
    if (!text.trim() || text.length > PLAN_CHARS) return ($("counts-plan").textContent = "");
    const controller = (this.#planning = new AbortController());
    try {
      const { segments, seconds } = await plan(text, this.#voices.name, this.#options.values, { signal: controller.signal, quiet: true });
      const count = segments.length === 1 ? t("text.one_segment") : t("text.many_segments", { n: number(segments.length) });
      $("counts-plan").textContent = ` · ${t("text.plan", { time: duration(Math.max(1, seconds)), segments: count })}`;
    } catch {
      if (!controller.signal.aborted) $("counts-plan").textContent = "";
    }
  }

  #voiceChanged() {
    const { tags, language } = this.#voices;
    $("tags").replaceChildren(...tags.map((tag) =>
      el("button", { type: "button", class: "tag", lang: language, "aria-label": t("text.sound_insert", { tag }), onclick: () => this.#insert(`<${tag}>`) }, tag)));
    this.#planSoon();
    this.#count();
  }

  #insert(tag) {
    const field = $("text");
    const before = field.value.slice(0, field.selectionStart), after = field.value.slice(field.selectionEnd);
    const spaced = (before && !/\s$/.test(before) ? " " : "") + tag + (after && !/^[\s.,!?;:]/.test(after) ? " " : "");
    field.focus();
    if (!document.execCommand("insertText", false, spaced)) {
      field.setRangeText(spaced, field.selectionStart, field.selectionEnd, "end");
      this.#changed();
    }
  }

  // Files

  #watchFiles() {
    const place = $("editor");
    $("open-file").addEventListener("click", () => $("file").click());
    $("file").addEventListener("change", () => {
      if ($("file").files[0]) this.open($("file").files[0]);
      $("file").value = "";
    });
    const over = (yes) => (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      place.classList.toggle("dropping", yes);
    };
    place.addEventListener("dragenter", over(true));
    place.addEventListener("dragover", over(true));
    place.addEventListener("dragleave", (event) => {
      if (!place.contains(event.relatedTarget)) over(false)(event);
    });
    place.addEventListener("drop", (event) => {
      over(false)(event);
      if (event.dataTransfer?.files[0]) this.open(event.dataTransfer.files[0]);
    });
  }

  async open(file) {
    const { name } = file;
    showError("");
    try {
      if (/\.epub$/i.test(name)) this.#put(await readEpub(file));
      else if (/\.(txt|md|markdown)$/i.test(name) || file.type.startsWith("text/")) this.#put(await file.text());
      else return showError(t("text.unknown_file", { name }));
      announce(t("text.opened", { name }));
    } catch {
      showError(t("text.bad_epub", { name }));
    }
  }

  // Writing and reading along

  #watchTabs() {
    const tabs = [$("tab-write"), $("tab-read")];
    for (const [place, tab] of tabs.entries()) {
      tab.addEventListener("click", () => this.show(tab.id.slice(4)));
      tab.addEventListener("keydown", (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        this.show(tabs[1 - place].id.slice(4));
        tabs[1 - place].focus();
      });
    }
  }

  /** part: "write" or "read" */
  show(part) {
    for (const name of ["write", "read"]) {
      const chosen = name === part;
      $(`panel-${name}`).hidden = !chosen;
      $(`tab-${name}`).setAttribute("aria-selected", chosen);
      $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    }
  }

  /** Show what a clip says, sentence by sentence. play(seconds) is called for the one that is pressed. */
  readAlong(clip, play) {
    const { planned, segments, text } = clip.about;
    this.#shown = clip;
    const rows = planned ?? segments;
    const fresh = rows.length ? rows : [{ text, boundary: "end" }];
    const parts = fresh.flatMap((row, index) => [
      sentence(row.text, index, Boolean(segments[index]), () => segments[index] && play(segments[index].start_s)),
      row.boundary === "paragraph" ? el("span", { class: "paragraph" }) : " ",
    ]);
    $("reading").replaceChildren(...parts);
    $("read-hint").hidden = !rows.length;
    this.follow(0);
  }

  /** New segments can be pressed. */
  refresh(clip, play) {
    if (clip !== this.#shown) return;
    const buttons = $("reading").querySelectorAll(".sentence");
    if (buttons.length !== (clip.about.planned ?? clip.about.segments).length) return this.readAlong(clip, play);
    for (const button of buttons) setReady(button, Boolean(clip.about.segments[button.dataset.index]));
  }

  /** Mark the sentence that is heard at this second. */
  follow(seconds, clip = this.#shown) {
    if (!clip || clip !== this.#shown) return;
    const { segments } = this.#shown.about;
    let now = -1;
    for (const [index, segment] of segments.entries()) if (segment && segment.start_s <= seconds + 0.01) now = index;
    for (const button of $("reading").querySelectorAll(".sentence")) {
      const current = Number(button.dataset.index) === now;
      if (current === button.hasAttribute("aria-current")) continue;
      if (current) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      if (current) this.#keepInView(button);
    }
  }

  #keepInView(button) {
    const box = $("reading");
    const above = button.offsetTop < box.scrollTop, below = button.offsetTop + button.offsetHeight > box.scrollTop + box.clientHeight;
    if (above || below) box.scrollTop = button.offsetTop - box.clientHeight / 3;
  }
}

/** A button that flows with the text, which real ones do not. */
function sentence(text, index, ready, press) {
  const span = el("span", {
    role: "button", class: "sentence", "data-index": index, onclick: press,
    onkeydown: (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      press();
    },
  }, text);
  setReady(span, ready);
  return span;
}

function setReady(span, ready) {
  span.setAttribute("aria-disabled", !ready);
  span.tabIndex = ready ? 0 : -1;
}
