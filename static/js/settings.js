// The server's settings: all of them with their help; those that are safe while it runs can be changed.

import { getJson } from "./api.js";
import { $, el, options as fill, t } from "./page.js";

export class Settings {
  #rows = [];
  #file = "";

  constructor() {
    $("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    $("settings-discard").addEventListener("click", () => this.refresh());
    $("settings").addEventListener("input", () => this.#said(""));
  }

  async refresh(init) {
    try {
      this.#show(await getJson("/settings", init));
      this.#said("");
    } catch (error) {
      $("settings-intro").textContent = error.message;
    }
  }

  #show({ file, may_change, why_not, settings }) {
    this.#rows = settings;
    this.#file = file;
    $("settings-intro").textContent = may_change ? t("settings.intro", { file }) : why_not;
    $("settings-actions").hidden = !may_change;
    const open = $("settings-rows").querySelector("details")?.open ?? false;
    const now = settings.filter((row) => row.at_run_time), later = settings.filter((row) => !row.at_run_time);
    $("settings-rows").replaceChildren(
      el("div", { class: "fields" }, ...now.map((row) => this.#row(row, may_change && !row.from_environment))),
      el("details", { open }, el("summary", {}, t("settings.show_all")), el("div", { class: "fields" }, ...later.map((row) => this.#row(row, false)))));
  }

  #row(row, free) {
    const id = `setting-${row.name}`, help = `${id}-help`;
    const usual = row.secret ? "" : t("settings.default", { value: row.default || t("settings.default_none") });
    const why = row.from_environment ? t("settings.from_environment") : row.at_run_time ? "" : t("settings.read_only");
    const content = free ? field(row, id, help) : shown(row);
    return el("div", { class: "field setting" },
      el(free ? "label" : "p", { class: "variable", for: free && id }, row.variable),
      content,
      el("p", { class: "help", id: help }, [row.help, usual].filter(Boolean).join(" "), why && el("span", { class: "badge" }, why)));
  }

  #changes() {
    const values = {};
    for (const row of this.#rows) {
      const input = $(`setting-${row.name}`);
      if (input && input.value !== row.value) values[row.name] = input.value;
    }
    return values;
  }

  async #save() {
    for (const row of this.#rows) $(`setting-${row.name}`)?.removeAttribute("aria-invalid");
    try {
      this.#show(await getJson("/settings", { json: { values: this.#changes() } }));
      this.#said(t("settings.saved"), "good");
      document.dispatchEvent(new Event("settings-saved"));
    } catch (error) {
      this.#said(error.message, "bad");
      $(`setting-${error.param}`)?.setAttribute("aria-invalid", "true");
    }
  }

  #said(text, kind = "") {
    $("settings-said").textContent = text;
    $("settings-said").className = kind;
  }
}

function shown(row) {
  const text = row.secret ? t(row.is_set ? "settings.set" : "settings.unset") : row.value || "–";
  return el("p", { class: "fixed" }, text);
}

function field(row, id, help) {
  const common = { id, "aria-describedby": help };
  if (row.kind === "choice" || row.kind === "switch") {
    const select = el("select", common);
    fill(select, (row.choices ?? ["true", "false"]).map((choice) => [choice]), row.value);
    return select;
  }
  if (row.kind === "text") return el("input", { ...common, type: "text", value: row.value, autocomplete: "off", spellcheck: "false" });
  return el("input", { ...common, type: "number", value: row.value, min: row.least, max: row.most, step: row.kind === "whole" ? 1 : "any" });
}
