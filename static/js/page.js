// What every part of the page uses: elements, words, numbers for people, small memory.

export const $ = (id) => document.getElementById(id);
export const root = document.body.dataset.root;
export const data = JSON.parse($("page-data").textContent);
const texts = JSON.parse($("page-text").textContent);
const SVG = "http://www.w3.org/2000/svg";

/** The interface's words under this key, with {name} filled in. */
export function t(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** An element: el("button", {class: "quiet", onclick: f, "aria-label": "…"}, "text", child). */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${root}/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `${root}/static/icons.svg#${name}`);
}

export function options(select, values, chosen) {
  select.replaceChildren(...values.map(([value, label = value]) => el("option", { value, selected: value === chosen }, label)));
}

/** 75.2 -> "1:15" */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** 75.2 -> "1 min 15 s", for estimates. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const format = (value, unit) => new Intl.NumberFormat(undefined, { style: "unit", unit, unitDisplay: "short" }).format(value);
  if (whole < 60) return format(whole, "second");
  if (whole < 3600) return `${format(Math.floor(whole / 60), "minute")} ${format(whole % 60, "second")}`;
  return `${format(Math.floor(whole / 3600), "hour")} ${format(Math.floor(whole / 60) % 60, "minute")}`;
}

export function bytes(size) {
  const [value, unit] = size < 1e6 ? [size / 1e3, "kilobyte"] : [size / 1e6, "megabyte"];
  return new Intl.NumberFormat(undefined, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

export const number = (value) => new Intl.NumberFormat().format(value);

/** Say it to those who hear the page. */
export function announce(text) {
  $("announce").textContent = text;
}

export function showError(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
  if (text) $("error").scrollIntoView({ block: "nearest" });
}

/** Ask before something is lost. */
export function confirm(question) {
  const dialog = $("confirm");
  $("confirm-text").textContent = question;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A name for a file out of what is said in it. */
export function fileName(text, extension) {
  const words = text.replace(/<[^>]*>|\[[^\]]*\]/g, " ").match(/[\p{L}\p{M}\p{N}]+/gu) ?? ["speech"];
  return `${words.slice(0, 6).join("-").slice(0, 60)}.${extension}`;
}

/** Small things that a reload must not lose. A full or forbidden store loses them quietly. */
export const memory = {
  get(name, fallback) {
    try {
      return JSON.parse(localStorage.getItem(`orpheus.${name}`)) ?? fallback;
    } catch {
      return fallback;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`orpheus.${name}`, JSON.stringify(value));
    } catch {
      // private windows and full disks
    }
  },
};
