// One generation: asks for speech, fills a clip while it arrives, says how far it is.

import { ApiError, events, request } from "./api.js";
import { Clip, SAMPLE_RATE } from "./clip.js";
import { t } from "./page.js";

/** How this text would be spoken: {segments: [{text, boundary, seconds}], seconds}. */
export async function plan(text, voice, options, init = {}) {
  const response = await request("/page/plan", { json: { input: text, voice, speed: options.speed }, ...init });
  return response.json();
}

export class Generation extends EventTarget {
  #controller = new AbortController();
  #began = performance.now();

  /** waiting, speaking, done, stopped or failed */
  state = "waiting";
  /** Seconds to the first sound; null before. */
  firstSound = null;
  error = null;

  constructor(text, voice, options) {
    super();
    this.clip = new Clip({ text, voice, options, segments: [], planned: null });
  }

  get elapsed() {
    return (performance.now() - this.#began) / 1000;
  }

  get running() {
    return this.state === "waiting" || this.state === "speaking";
  }

  /** Seconds until all is made, as far as anybody knows; null before. */
  get left() {
    const { clip } = this, made = clip.seconds;
    if (this.firstSound === null || made < 1 || !clip.expected) return null;
    return Math.max(0, clip.expected - made) * ((this.elapsed - this.firstSound) / made);
  }

  /** Times real time: 2 is twice as fast as one listens. */
  get pace() {
    return this.clip.seconds / Math.max(0.001, this.elapsed);
  }

  stop() {
    this.#controller.abort();
  }

  /** Speak to the end. Never raises: state and error say what became of it. */
  async run() {
    const { signal } = this.#controller;
    const { text, voice, options } = this.clip.about;
    this.#plan(signal);
    try {
      const { response_format: _, ...sampling } = options;
      const json = {
        input: text, voice, ...sampling,
        response_format: "pcm", sample_rate: SAMPLE_RATE, stream_format: "sse", timestamps: true,
      };
      const response = await request("/v1/audio/speech", { json, signal });
      let whole = false;
      for await (const event of events(response)) whole = this.#take(event) || whole;
      if (!whole) throw new ApiError(t("speak.broken"), 0);
      this.#end("done");
    } catch (error) {
      if (signal.aborted) return this.#end("stopped");
      this.error = error instanceof ApiError ? error.message : t("speak.broken");
      this.#end("failed");
    }
  }

  /** Returns whether it was the last event. */
  #take(event) {
    const { clip } = this;
    if (event.type === "error") throw new ApiError(event.error?.message ?? t("speak.broken"), 0);
    if (event.type === "speech.audio.delta") {
      this.firstSound ??= this.elapsed;
      this.state = "speaking";
      clip.add(samplesOf(event.audio));
      if (clip.expected < clip.seconds) clip.expected = clip.seconds;
    } else if (event.type === "speech.audio.segment") {
      clip.about.segments[event.index] = event;
      this.#expect(event);
      this.dispatchEvent(new Event("segment"));
    } else if (event.type === "speech.audio.done") {
      for (const segment of event.segments ?? []) clip.about.segments[segment.index] = segment;
      this.dispatchEvent(new Event("segment"));
    }
    this.dispatchEvent(new Event("progress"));
    return event.type === "speech.audio.done";
  }

  async #plan(signal) {
    const { about } = this.clip;
    try {
      about.planned = (await plan(about.text, about.voice, about.options, { signal, quiet: true })).segments;
    } catch {
      return; // the speech itself will say what is wrong
    }
    if (!this.running) return;
    this.clip.expected = Math.max(this.clip.seconds, about.planned.reduce((sum, { seconds }) => sum + seconds, 0));
    this.dispatchEvent(new Event("segment"));
  }

  /** A segment begins: what was said so far tells how right the estimate is. */
  #expect({ index, start_s }) {
    const { clip } = this, { planned } = clip.about;
    if (!planned) return;
    const sum = (rows) => rows.reduce((total, { seconds }) => total + seconds, 0);
    const guessed = sum(planned.slice(0, index)), rest = sum(planned.slice(index));
    clip.expected = start_s + rest * (guessed > 2 ? start_s / guessed : 1);
  }

  #end(state) {
    this.state = state;
    this.clip.about.firstSound = this.firstSound;
    this.clip.about.elapsed = this.elapsed;
    this.clip.about.state = state;
    this.clip.end();
    this.dispatchEvent(new Event("progress"));
    this.dispatchEvent(new Event("end"));
  }
}

function samplesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length & ~1);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return new Int16Array(bytes.buffer);
}
