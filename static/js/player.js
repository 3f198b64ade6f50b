// Plays a clip that may still be growing, without gaps. Behaves like a media element, so that wavesurfer.js can sit on it.
// Not an AudioWorklet: browsers have that only on https and localhost, and this page is often read over a home network.

import { SAMPLE_RATE } from "./clip.js";
import { HOP, REACH, Stretch, WINDOW } from "./stretch.js";

const LEAD_S = 0.02; // from now to the first sample: enough to be scheduled in time
const AHEAD_S = 0.25; // scheduled while the page is seen; little, so that a seek is felt at once
const AHEAD_HIDDEN_S = 3; // timers of a hidden page fire once a second
const BLOCK = 2400; // 0.1 s
const REFILL_S = 0.3; // after running dry: this much first, or it would stutter

export class Player extends EventTarget {
  #context = null;
  #gain = null;
  #timer = null;
  #blocks = []; // scheduled: {source, from, to: context time; at: source time; rate}
  #read = 0; // next source sample to be scheduled
  #until = 0; // context time up to which sound is scheduled
  #dry = false;
  #rate = 1;
  #volume = 1;
  #stretch = new Stretch();

  clip = null;
  paused = true;
  ended = false;
  seeking = false;
  muted = false;
  readyState = 4;
  src = "";
  currentSrc = "";
  /** {start, end} in seconds, or null. */
  loop = null;

  /** Take another clip; stops the one before. */
  load(clip) {
    this.pause();
    this.clip?.removeEventListener("grow", this.#grown);
    this.clip = clip;
    this.#read = 0;
    this.ended = false;
    this.loop = null;
    clip?.addEventListener("grow", this.#grown);
    this.#tell("clip", "durationchange", "timeupdate");
  }

  #grown = () => {
    this.#tell("durationchange");
    if (!this.paused) this.#fill();
  };

  get duration() {
    return this.clip ? Math.max(this.clip.seconds, this.clip.complete ? 0 : this.clip.expected) : 0;
  }

  get currentTime() {
    const now = this.#context?.currentTime ?? 0;
    const block = this.#blocks.find(({ to }) => now < to);
    if (this.paused || !block) return this.#read / SAMPLE_RATE;
    return block.at + Math.max(0, now - block.from) * block.rate;
  }

  set currentTime(seconds) {
    if (!this.clip) return;
    this.seeking = true;
    this.#drop();
    this.#read = Math.round(Math.min(Math.max(0, seconds), this.clip.seconds) * SAMPLE_RATE);
    this.ended = false;
    this.#tell("seeking", "timeupdate");
    this.seeking = false;
    this.#tell("seeked");
    if (!this.paused) this.#fill();
  }

  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = value;
    if (this.#gain) this.#gain.gain.value = value;
    this.#tell("volumechange");
  }

  get playbackRate() {
    return this.#rate;
  }

  set playbackRate(rate) {
    const now = this.currentTime;
    this.#rate = rate;
    this.#tell("ratechange");
    if (!this.paused) this.currentTime = now;
  }

  /** Has to be called by a press of the user at least once, or browsers stay silent. */
  async play() {
    if (!this.clip) return;
    if (this.ended) this.currentTime = 0;
    this.#open();
    this.paused = false;
    this.#tell("play");
    this.#timer ??= setInterval(() => this.#fill(), 50);
    await this.#context.resume();
    this.#fill();
  }

  pause() {
    if (this.paused) return;
    this.#read = Math.round(this.currentTime * SAMPLE_RATE);
    this.#halt();
    this.#tell("pause", "timeupdate");
  }

  removeAttribute() {}

  #open() {
    if (this.#context) return;
    if (navigator.audioSession) navigator.audioSession.type = "playback"; // iOS: also with the silent switch on
    this.#context = new AudioContext({ sampleRate: SAMPLE_RATE });
    this.#gain = this.#context.createGain();
    this.#gain.gain.value = this.#volume;
    this.#gain.connect(this.#context.destination);
  }

  #halt() {
    this.paused = true;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#drop();
  }

  /** Take back what is scheduled and not heard yet. */
  #drop() {
    for (const { source } of this.#blocks) source.stop();
    this.#blocks = [];
    this.#until = 0;
    this.#dry = false;
    this.#stretch.reset();
  }

  #fill() {
    const now = this.#context.currentTime;
    this.#blocks = this.#blocks.filter(({ to }) => to > now);
    const ahead = document.hidden ? AHEAD_HIDDEN_S : AHEAD_S;
    while (!this.paused && this.#until < now + ahead) {
      if (!this.#schedule(now)) break;
    }
    if (!this.paused) this.#tell("timeupdate");
  }

  /** One block more. Returns whether there was one. */
  #schedule(now) {
    const { clip } = this;
    const loop = this.loop && this.loop.end > this.loop.start ? this.loop : null;
    const end = loop ? Math.round(loop.end * SAMPLE_RATE) : Infinity;
    if (loop && this.#read >= Math.min(end, clip.complete ? clip.length : Infinity)) {
      this.#read = Math.round(loop.start * SAMPLE_RATE);
      this.#stretch.reset();
    }
    const ready = clip.length - this.#read;
    if (ready <= 0 && clip.complete) return this.#finish(now);
    if (!clip.complete && ready < this.#wanted()) {
      this.#dry ||= this.#until > 0 && this.#until < now;
      return false;
    }
    this.#dry = false;
    const sound = this.#rate === 1 ? this.#plain(Math.ceil(Math.min(BLOCK, ready, end - this.#read))) : this.#stretched();
    this.#until = Math.max(this.#until, now + LEAD_S);
    this.#start(sound);
    return true;
  }

  /** Samples that must be there before more is scheduled. */
  #wanted() {
    if (this.#dry) return REFILL_S * SAMPLE_RATE * this.#rate;
    return this.#rate === 1 ? 1 : WINDOW + REACH;
  }

  #plain(length) {
    const from = Math.round(this.#read), sound = new Float32Array(length), { samples } = this.clip;
    for (let i = 0; i < length; i++) sound[i] = (samples[from + i] ?? 0) / 32768;
    return { sound, at: from / SAMPLE_RATE, next: from + length };
  }

  #stretched() {
    const at = this.#read;
    return { sound: this.#stretch.window(this.clip.samples, at), at: at / SAMPLE_RATE, next: at + HOP * this.#rate };
  }

  #start({ sound, at, next }) {
    const buffer = this.#context.createBuffer(1, sound.length, SAMPLE_RATE);
    buffer.copyToChannel(sound, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#gain);
    source.start(this.#until);
    const from = this.#until, to = from + sound.length / SAMPLE_RATE;
    this.#blocks.push({ source, from, to, at, rate: this.#rate });
    this.#until = to;
    this.#read = next;
  }

  #finish(now) {
    if (this.#until > now) return false;
    this.#read = this.clip.length;
    this.#halt();
    this.ended = true;
    this.#tell("timeupdate", "ended", "pause");
    return false;
  }

  #tell(...names) {
    for (const name of names) this.dispatchEvent(new Event(name));
  }
}
