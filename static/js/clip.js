// A piece of speech in this browser: 24 kHz 16-bit samples that may still be coming, and its outline for waveforms.

export const SAMPLE_RATE = 24_000;
const SAMPLES_PER_PEAK = 240;
/** A hundred peaks a second. */

export class Clip extends EventTarget {
  #samples = new Int16Array(SAMPLE_RATE * 16);
  #peaks = new Uint8Array(1600);

  constructor(about = {}) {
    super();
    /** What it says and how: text, voice, options, segments … */
    this.about = about;
    this.length = 0;
    this.complete = false;
    /** Seconds it will have, as far as anybody knows. */
    this.expected = 0;
  }

  static of(samples, about) {
    const clip = new Clip(about);
    clip.add(samples);
    clip.end();
    return clip;
  }

  get seconds() {
    return this.length / SAMPLE_RATE;
  }

  get samples() {
    return this.#samples.subarray(0, this.length);
  }

  add(samples) {
    const length = this.length + samples.length;
    this.#samples = grown(this.#samples, length);
    this.#samples.set(samples, this.length);
    this.#outline(this.length, length);
    this.length = length;
    this.dispatchEvent(new Event("grow"));
  }

  end() {
    this.complete = true;
    this.dispatchEvent(new Event("grow"));
    this.dispatchEvent(new Event("end"));
  }

  #outline(from, to) {
    this.#peaks = grown(this.#peaks, Math.ceil(to / SAMPLES_PER_PEAK));
    for (let i = from; i < to; i++) {
      const place = Math.floor(i / SAMPLES_PER_PEAK), level = Math.abs(this.#samples[i]) >> 7;
      if (level > this.#peaks[place]) this.#peaks[place] = level;
    }
  }

  /** The outline as `count` values of 0..1, over `seconds` (longer than the clip: the rest is 0). */
  outline(count, seconds = this.seconds) {
    const values = new Float32Array(count), known = Math.ceil(this.length / SAMPLES_PER_PEAK);
    const step = (seconds * SAMPLE_RATE) / SAMPLES_PER_PEAK / count;
    for (let i = 0; i < count; i++) {
      const from = Math.floor(i * step), to = Math.min(known, Math.max(from + 1, Math.floor((i + 1) * step)));
      for (let j = from; j < to; j++) values[i] = Math.max(values[i], this.#peaks[j] / 255);
    }
    return values;
  }
}

function grown(array, length) {
  if (length <= array.length) return array;
  const larger = new array.constructor(Math.max(length, array.length * 2));
  larger.set(array);
  return larger;
}

/** A WAV file of 16-bit mono samples. */
export function wav(samples) {
  const header = new DataView(new ArrayBuffer(44));
  const ascii = (at, text) => [...text].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  ascii(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, SAMPLE_RATE, true);
  header.setUint32(28, SAMPLE_RATE * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  ascii(36, "data");
  header.setUint32(40, samples.byteLength, true);
  return new Blob([header, samples], { type: "audio/wav" });
}
