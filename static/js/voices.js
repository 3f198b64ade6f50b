// Choosing a voice, finding one, and hearing a short preview that is made once and kept.

import { Clip } from "./clip.js";
import { $, data, memory, setIcon, showError, t } from "./page.js";
import { Generation } from "./speech.js";
import { keep, load } from "./store.js";

const PREVIEWS = {
  en: "Hello, this is how I sound. <chuckle> Shall we begin?",
  fr: "Bonjour, voici ma voix. On commence ?",
  de: "Hallo, so klinge ich. Wollen wir anfangen?",
  ko: "안녕하세요, 제 목소리는 이렇습니다. 시작할까요?",
  hi: "नमस्ते, मेरी आवाज़ ऐसी है। शुरू करें?",
  zh: "你好，这就是我的声音。我们开始吧？",
  es: "Hola, así suena mi voz. ¿Empezamos?",
  it: "Ciao, questa è la mia voce. Cominciamo?",
};

const radios = () => [...document.querySelectorAll('input[name="voice"]')];

/** listen(clip): play it. model(): what speaks, so that another model makes its own previews. */
export class Voices extends EventTarget {
  #preview = null; // {name, generation, player}
  #player;
  #model;

  constructor(player, model) {
    super();
    this.#player = player;
    this.#model = model;
    this.choose(memory.get("voice", ""));
    $("voices").addEventListener("change", () => this.#chosen());
    $("voices").addEventListener("click", (event) => {
      const button = event.target.closest("[data-preview]");
      if (button) this.#hear(button.dataset.preview, button);
    });
    $("voice-search").addEventListener("input", () => this.#search($("voice-search").value));
    $("voice-search").addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
    player.addEventListener("ended", () => this.#quiet());
    player.addEventListener("pause", () => this.#quiet());
    requestAnimationFrame(() => this.#show());
  }

  get name() {
    return radios().find((radio) => radio.checked)?.value ?? "";
  }

  get language() {
    return radios().find((radio) => radio.checked)?.dataset.language ?? "en";
  }

  get tags() {
    return data.emotion_tags[this.language] ?? [];
  }

  choose(name) {
    const radio = radios().find(({ value }) => value === name);
    if (!radio || radio.checked) return;
    radio.checked = true;
    this.#chosen();
    this.#show();
  }

  #chosen() {
    memory.set("voice", this.name);
    this.dispatchEvent(new Event("change"));
  }

  /** Scroll the list, not the page, to the chosen one. */
  #show() {
    const list = $("voices"), row = radios().find((radio) => radio.checked)?.closest(".voice");
    if (row) list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 2 + row.clientHeight / 2;
  }

  #search(words) {
    const wanted = words.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const group of $("voices").querySelectorAll("fieldset")) {
      const language = group.querySelector("legend").textContent;
      for (const row of group.querySelectorAll(".voice")) {
        const text = `${language} ${row.textContent}`.toLocaleLowerCase();
        // "male" is not to find "female"
        row.hidden = !wanted.every((word) => text.split(/[\s,]+/).some((part) => part.startsWith(word)));
        found += !row.hidden;
      }
      group.hidden = !group.querySelector(".voice:not([hidden])");
    }
    $("voice-none").hidden = found > 0;
  }

  async #hear(name, button) {
    if (this.#preview?.name === name) return this.#stop();
    this.#stop();
    const preview = (this.#preview = { name, button, generation: null });
    this.#mark(button, name, "stop");
    const id = `${this.#model()}|${name}`;
    try {
      const kept = await load("previews", id);
      if (this.#preview !== preview) return;
      if (kept) await this.#play(Clip.of(new Int16Array(kept.pcm), {}));
      else await this.#make(preview, id);
    } catch (error) {
      showError(error.message);
      this.#stop();
    }
  }

  async #make(preview, id) {
    const language = radios().find(({ value }) => value === preview.name).dataset.language;
    const generation = (preview.generation = new Generation(PREVIEWS[language] ?? PREVIEWS.en, preview.name, {}));
    preview.button.classList.add("busy");
    const playing = this.#play(generation.clip);
    await generation.run();
    preview.button.classList.remove("busy");
    if (generation.state === "failed") throw new Error(generation.error);
    if (generation.state === "done") await keep("previews", { id, pcm: generation.clip.samples.slice().buffer });
    await playing;
  }

  async #play(clip) {
    this.dispatchEvent(new Event("preview"));
    this.#player.load(clip);
    await this.#player.play();
  }

  /** Something else is to be heard. */
  leave() {
    this.#preview?.generation?.stop();
    const preview = this.#preview;
    this.#preview = null;
    if (preview) this.#mark(preview.button, preview.name, "play");
  }

  #stop() {
    this.#preview?.generation?.stop();
    if (this.#preview) this.#player.pause();
    this.#quiet();
  }

  #quiet() {
    if (!this.#preview || this.#preview.generation?.running) return;
    const { button, name } = this.#preview;
    this.#preview = null;
    this.#mark(button, name, "play");
  }

  #mark(button, name, shape) {
    setIcon(button, shape);
    button.setAttribute("aria-label", t(shape === "play" ? "voice.preview" : "voice.preview_stop", { name }));
  }
}
