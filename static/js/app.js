// The page put together: views, speaking and stopping, the player's buttons, the keyboard.

import { download } from "./download.js";
import { Editor } from "./editor.js";
import { History } from "./history.js";
import { Jobs } from "./jobs.js";
import { Options } from "./options.js";
import { $, announce, duration, memory, setIcon, showError, t } from "./page.js";
import { Player } from "./player.js";
import { ServerStatus } from "./server.js";
import { Settings } from "./settings.js";
import { Generation } from "./speech.js";
import { Voices } from "./voices.js";
import { createWave } from "./wave.js";

const VIEWS = { speak: "speak", history: "history", jobs: "jobs", server: "server-view" };
const TICK_MS = 100;

const player = new Player();
const server = new ServerStatus();
const voices = new Voices(player, () => server.model);
const options = new Options({ get name() { return voices.name; }, choose: (name) => voices.choose(name) });
const editor = new Editor(voices, options);
const history = new History(player);
const settings = new Settings();
new Jobs(player, () => ({ text: editor.text, voice: voices.name, options: options.values }));
const wave = createWave(player, (part) => {
  setLoop(part);
  if (player.currentTime < part.start || player.currentTime >= part.end) player.currentTime = part.start;
});
document.addEventListener("settings-saved", () => {
  showError("");
  server.refresh();
});
let generation = null;

// Views

function show(name) {
  for (const [view, id] of Object.entries(VIEWS)) $(id).hidden = view !== name;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = name;
  if (name === "history") history.show();
  if (name === "server") settings.refresh(), server.refresh();
  document.dispatchEvent(new CustomEvent("view", { detail: name }));
}

const viewOfAddress = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "speak");
addEventListener("hashchange", () => {
  if (location.hash === "#text") return $("text").focus();
  show(viewOfAddress());
  scrollTo(0, 0);
});

// Speaking

async function speak() {
  if (!editor.text.trim()) {
    showError(t("speak.empty"));
    return $("text").focus();
  }
  showError("");
  generation?.stop();
  voices.leave();
  const mine = (generation = new Generation(editor.text, voices.name, options.values));
  player.load(mine.clip);
  player.play();
  const seek = (seconds) => playFrom(mine.clip, seconds);
  editor.readAlong(mine.clip, seek);
  editor.show("read");
  mine.addEventListener("segment", () => editor.refresh(mine.clip, seek));
  busy(true);
  announce(t("speak.announce_start"));
  const ticking = setInterval(() => generation === mine && tell(mine), TICK_MS);
  tell(mine);
  await mine.run();
  clearInterval(ticking);
  if (mine.clip.length) history.add(mine.clip);
  if (generation !== mine) return;
  finish(mine);
}

function finish(done) {
  tell(done);
  busy(false);
  if (done.state === "failed") showError(done.error);
  if (!done.clip.length) {
    player.pause();
    editor.show("write");
  }
  const words = { done: "speak.announce_done", stopped: "speak.announce_stopped" }[done.state];
  if (words) announce(t(words, { seconds: done.clip.seconds.toFixed(1) }));
}

function stop() {
  generation?.stop();
  player.pause();
}

function busy(yes) {
  const moved = document.activeElement === $(yes ? "generate" : "stop");
  $("generate").disabled = yes;
  $("stop").disabled = !yes;
  if (moved) $(yes ? "stop" : "generate").focus(); // a disabled button loses the keyboard
  $("player").classList.toggle("speaking", yes);
}

/** How far it is, in words and as a bar. */
function tell(of) {
  const { clip, state, firstSound } = of, made = clip.seconds.toFixed(1);
  const first = firstSound === null ? null : t("speak.first", { seconds: firstSound.toFixed(2) });
  const told = clip.about.segments.filter(Boolean).length, total = clip.about.planned?.length ?? 0;
  const parts = {
    waiting: () => [t("speak.waiting", { seconds: of.elapsed.toFixed(1) })],
    speaking: () => [
      first, t("speak.made", { seconds: made }),
      total > 1 && t("speak.segment", { n: Math.max(1, told), total }),
      of.left > 1 && t("speak.left", { time: duration(of.left) }),
    ],
    done: () => [first, t("speak.done", { seconds: made }), t("speak.pace", { pace: of.clip.about.elapsed ? (clip.seconds / clip.about.elapsed).toFixed(1) : "" })],
    stopped: () => [t("speak.stopped", { seconds: made })],
    failed: () => [t("speak.failed")],
  }[state]();
  $("progress").textContent = parts.filter(Boolean).join(" · ");
  $("segments").hidden = state !== "speaking";
  $("segments").value = clip.expected ? Math.min(1, clip.seconds / clip.expected) : 0;
}

function playFrom(clip, seconds) {
  if (player.clip !== clip) player.load(clip);
  player.currentTime = seconds;
  player.play();
}

// The player

function setLoop(part) {
  player.loop = part;
  $("loop").setAttribute("aria-pressed", Boolean(part));
}

function loopPart(start, end) {
  if (end <= start) return;
  const part = { start, end };
  wave.select(part);
  setLoop(part);
}

function showPlaying() {
  setIcon($("play"), player.paused ? "play" : "pause");
  $("play").setAttribute("aria-label", t(player.paused ? "player.play" : "player.pause"));
}

function showClip() {
  for (const id of ["play", "loop", "loop-from", "loop-to"]) $(id).disabled = !player.clip;
  $("download").disabled = !player.clip?.about.text;
  setLoop(null);
  const { about } = player.clip ?? {};
  if (!about?.text || about.state) $("progress").textContent = about?.text ? `${about.voice} · ${about.text}` : "";
}

for (const event of ["play", "pause", "ended", "clip"]) player.addEventListener(event, showPlaying);
player.addEventListener("clip", showClip);
player.addEventListener("timeupdate", () => editor.follow(player.currentTime, player.clip));
$("play").addEventListener("click", () => (player.paused ? player.play() : player.pause()));
$("loop").addEventListener("click", () => {
  if (!player.loop) return loopPart(0, player.duration);
  wave.select(null);
  setLoop(null);
});
$("loop-from").addEventListener("click", () => loopPart(player.currentTime, Math.max(player.loop?.end ?? 0, player.duration)));
$("loop-to").addEventListener("click", () => loopPart(player.loop?.start ?? 0, player.currentTime));
$("volume").value = player.volume = memory.get("volume", 1);
$("volume").addEventListener("input", () => memory.set("volume", (player.volume = Number($("volume").value))));
$("rate").addEventListener("change", () => (player.playbackRate = Number($("rate").value)));
$("download-format").value = options.format;
options.addEventListener("change", () => ($("download-format").value = options.format));
$("download").addEventListener("click", async () => {
  const { clip } = player;
  try {
    await download(clip.samples.slice(), $("download-format").value, clip.about.text);
  } catch (error) {
    showError(error.message);
  }
});

// The history brings back

function reuse({ text, voice, options: values }) {
  location.hash = "#speak";
  editor.text = text;
  editor.show("write");
  voices.choose(voice);
  options.set(values);
}
history.addEventListener("reuse", ({ detail }) => {
  reuse(detail);
  $("text").focus();
});
history.addEventListener("regenerate", ({ detail }) => {
  reuse(detail);
  speak();
});
history.addEventListener("playing", () => {
  const { clip } = player;
  editor.readAlong(clip, (seconds) => playFrom(clip, seconds));
});
voices.addEventListener("preview", () => generation?.running && stop());

// Buttons and keys

$("speak").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!generation?.running) speak();
});
$("speak").noValidate = true;
$("stop").addEventListener("click", stop);
addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !$("speak").hidden) {
    event.preventDefault();
    if (!generation?.running) speak();
  } else if (event.key === "Escape" && generation?.running && !document.querySelector("dialog[open]")) stop();
  else if (event.key === " " && event.target === document.body && player.clip) {
    event.preventDefault();
    $("play").click();
  }
});

show(viewOfAddress());
document.body.dataset.ready = "yes";
performance.mark("ready");
