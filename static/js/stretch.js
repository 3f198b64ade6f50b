// Playing speed without a change of pitch: WSOLA (Verhelst and Roelands, ICASSP 1993) for 24 kHz speech.
// Windows are taken from where the speed says, moved by a few milliseconds to where they continue the sound best.

const WINDOW = 720; // 30 ms: more than two periods of a deep voice
const HOP = WINDOW / 2;
const REACH = 200; // 8 ms: a period of a voice down to 120 Hz, with both sides down to 60 Hz
const STEP = 4; // every fourth sample decides: a quarter of the work, and speech is below 3 kHz

const fade = Float32Array.from({ length: HOP }, (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / HOP));

export class Stretch {
  #tail = null; // second half of the last window, still to be faded into the next
  #next = 0; // where the sound would go on by itself

  reset() {
    this.#tail = null;
  }

  /** HOP samples of sound for source position `at`. samples: Int16Array; past its end is silence. */
  window(samples, at) {
    const start = this.#tail ? this.#best(samples, Math.round(at)) : Math.round(at);
    const out = new Float32Array(HOP), tail = new Float32Array(HOP);
    for (let i = 0; i < HOP; i++) {
      const value = (samples[start + i] ?? 0) / 32768;
      out[i] = this.#tail ? value * fade[i] + this.#tail[i] * (1 - fade[i]) : value;
      tail[i] = (samples[start + HOP + i] ?? 0) / 32768;
    }
    this.#tail = tail;
    this.#next = start + HOP;
    return out;
  }

  #best(samples, at) {
    let best = at, most = -Infinity;
    for (let start = Math.max(0, at - REACH); start <= at + REACH; start += STEP) {
      let likeness = 0;
      for (let i = 0; i < HOP; i += STEP) likeness += (samples[start + i] ?? 0) * (samples[this.#next + i] ?? 0);
      if (likeness > most) [best, most] = [start, likeness];
    }
    return best;
  }
}

export { HOP, REACH, WINDOW };
