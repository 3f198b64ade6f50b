// The waveform on which one sees, seeks and selects: wavesurfer.js over the player.

import RegionsPlugin from "../vendor/wavesurfer/regions-8.0.1.js";
import WaveSurfer from "../vendor/wavesurfer/wavesurfer-8.0.1.js";
import { $, clock, t } from "./page.js";

const BARS = 600;
const REDRAW_MS = 120;
const SKIP_S = 2;

/** Put the waveform of `player` into its place. onselect is told {start, end} in seconds, or null. */
export function createWave(player, onselect) {
  const place = $("wave");
  const regions = RegionsPlugin.create();
  const wave = WaveSurfer.create({
    container: place,
    media: player,
    height: "auto",
    barWidth: 2,
    barGap: 1,
    barRadius: 2,
    cursorWidth: 2,
    normalize: false,
    barHeight: 1.4,
    dragToSeek: false,
    hideScrollbar: true,
    cspNonce: document.body.dataset.styleNonce,
    plugins: [regions],
    ...colours(),
  });
  regions.enableDragSelection({ color: colours().selection });
  regions.on("region-created", (region) => {
    for (const other of regions.getRegions()) if (other !== region) other.remove();
    onselect({ start: region.start, end: region.end });
  });
  regions.on("region-updated", (region) => onselect({ start: region.start, end: region.end }));
  regions.on("region-clicked", (_, event) => {
    const { left, width } = place.getBoundingClientRect();
    player.currentTime = ((event.clientX - left) / width) * player.duration;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => wave.setOptions(colours()));

  let due = null, pressed = false;
  const draw = () => {
    due = null;
    if (pressed) return redraw(); // a selection is being drawn
    const seconds = player.duration || 0.001;
    const peaks = player.clip ? player.clip.outline(BARS, seconds) : new Float32Array(BARS);
    wave.load("", [peaks], seconds).catch(() => {}); // given way to a newer one
    if (player.loop && !player.clip.complete) select(player.loop);
    tell();
  };
  const redraw = () => (due ??= setTimeout(draw, REDRAW_MS));
  const tell = () => {
    const [now, total] = [player.currentTime, player.clip?.seconds ?? 0];
    $("now").textContent = clock(now);
    $("total").textContent = clock(total);
    place.setAttribute("aria-valuemax", total.toFixed(1));
    place.setAttribute("aria-valuenow", now.toFixed(1));
    place.setAttribute("aria-valuetext", t("player.position", { now: clock(now), total: clock(total) }));
  };
  player.addEventListener("durationchange", redraw);
  player.addEventListener("timeupdate", tell);
  player.addEventListener("clip", () => regions.clearRegions());
  place.addEventListener("pointerdown", () => (pressed = true));
  addEventListener("pointerup", () => (pressed = false));
  addEventListener("pointercancel", () => (pressed = false));
  place.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: player.currentTime - SKIP_S, ArrowRight: player.currentTime + SKIP_S, Home: 0, End: player.clip?.seconds }[event.key];
    if (to === undefined || !player.clip) return;
    event.preventDefault();
    player.currentTime = to;
  });
  wave.load("", [new Float32Array(BARS)], 0.001).catch(() => {});

  /** Show this part as selected, or none. */
  function select(part) {
    regions.clearRegions();
    if (part) regions.addRegion({ ...part, color: colours().selection });
  }
  return { select };
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => resolved(style.getPropertyValue(name));
  return {
    waveColor: value("--wave"),
    progressColor: value("--accent"),
    cursorColor: value("--ink"),
    selection: value("--selection"),
  };
}

/** A colour as the canvas wants it: light-dark() chosen by the browser. */
function resolved(colour) {
  const probe = document.createElement("span");
  probe.style.color = colour;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** A small still waveform, for lists. values: 0..1 */
export function drawOutline(canvas, values) {
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
  if (!width) return;
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = getComputedStyle(canvas).color;
  const count = Math.min(values.length, Math.floor(width / (3 * scale)));
  for (let i = 0; i < count; i++) {
    const level = Math.max(...values.slice(Math.floor((i * values.length) / count), Math.ceil(((i + 1) * values.length) / count)));
    const bar = Math.max(scale, Math.min(1, level * 1.4) * height);
    pen.fillRect(i * 3 * scale, (height - bar) / 2, 2 * scale, bar);
  }
}
