// The settings of a request: fields with their defaults, a dice for the seed, presets.

import { $, memory, options as fill, t } from "./page.js";

const SEEDS = 2 ** 32 - 1;
const fields = () => [...document.querySelectorAll("[data-option]")];

export class Options extends EventTarget {
  #presets = memory.get("presets", {});

  /** voice: {name, choose()}, saved with a preset. */
  constructor(voice) {
    super();
    this.voice = voice;
    this.set(memory.get("options", {}));
    for (const field of fields()) field.addEventListener("input", () => this.#changed(field));
    for (const slider of document.querySelectorAll("[data-mirrors]")) {
      slider.addEventListener("input", () => {
        $(slider.dataset.mirrors).value = slider.value;
        this.#changed($(slider.dataset.mirrors));
      });
    }
    $("dice").addEventListener("click", () => this.set({ ...this.values, seed: Math.floor(Math.random() * SEEDS) }));
    $("options-reset").addEventListener("click", () => this.set({}));
    this.#watchPresets();
  }

  /** Only what differs from the defaults, so that the server's settings go on counting. */
  get values() {
    const values = {};
    for (const field of fields()) {
      const { option, default: usual } = field.dataset;
      if (field.value === "" || !field.validity.valid) continue;
      if (field.type !== "number") {
        if (field.value !== usual) values[option] = field.value;
      } else if (Number(field.value) !== Number(usual || NaN)) values[option] = Number(field.value);
    }
    return values;
  }

  get format() {
    return this.values.response_format ?? "mp3";
  }

  set(values) {
    for (const field of fields()) {
      field.value = values[field.dataset.option] ?? field.dataset.default;
      this.#mirror(field);
    }
    this.#changed();
  }

  /** What differs from the defaults, in a few words. */
  static summary(values) {
    return Object.entries(values).map(([name, value]) => (name === "response_format" ? value : `${t(`options.${name}`).toLocaleLowerCase()} ${value}`)).join(" · ");
  }

  #mirror(field) {
    const slider = document.querySelector(`[data-mirrors="${field.id}"]`);
    if (slider) slider.value = field.value;
  }

  #changed(field) {
    if (field) this.#mirror(field);
    memory.set("options", this.values);
    $("options-summary").textContent = Options.summary(this.values);
    this.dispatchEvent(new Event("change"));
  }

  #watchPresets() {
    const naming = (yes) => {
      $("preset-new").hidden = !yes;
      $("preset-save").setAttribute("aria-expanded", yes);
      (yes ? $("preset-name") : $("preset-save")).focus();
    };
    const keep = () => {
      const name = $("preset-name").value.trim();
      if (!name) return $("preset-name").focus();
      this.#presets[name] = { voice: this.voice.name, options: this.values };
      this.#showPresets(name);
      $("preset-name").value = "";
      naming(false);
    };
    this.#showPresets("");
    $("preset-save").addEventListener("click", () => naming(true));
    $("preset-cancel").addEventListener("click", () => naming(false));
    $("preset-keep").addEventListener("click", keep);
    $("preset-name").addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault(), keep();
      if (event.key === "Escape") event.stopPropagation(), naming(false);
    });
    $("preset").addEventListener("change", () => {
      const preset = this.#presets[$("preset").value];
      $("preset-delete").disabled = !preset;
      if (!preset) return;
      this.voice.choose(preset.voice);
      this.set(preset.options);
    });
    $("preset-delete").addEventListener("click", () => {
      delete this.#presets[$("preset").value];
      this.#showPresets("");
      $("preset").focus();
    });
  }

  #showPresets(chosen) {
    memory.set("presets", this.#presets);
    fill($("preset"), [["", t("options.presets_none")], ...Object.keys(this.#presets).map((name) => [name])], chosen);
    $("preset-delete").disabled = !chosen;
  }
}
