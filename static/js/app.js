// The page: sends the text, plays the PCM while it is still being made, then offers it as a WAV file.

const SAMPLE_RATE = 24000;
const root = document.body.dataset.root;
const $ = (id) => document.getElementById(id);
const emotionTags = JSON.parse($("emotion-tags").textContent);

/** Plays pieces of 24 kHz s16le PCM one after the other, without gaps. */
class Player {
  constructor() {
    this.context = new AudioContext({ sampleRate: SAMPLE_RATE });
    this.end = 0;
  }

  play(samples) {
    const buffer = this.context.createBuffer(1, samples.length, SAMPLE_RATE);
    const channel = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) channel[i] = samples[i] / 32768;
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    this.end = Math.max(this.end, this.context.currentTime + 0.02);
    source.start(this.end);
    this.end += buffer.duration;
  }

  close() {
    return this.context.close();
  }
}

/** The samples in a stream of bytes that is cut anywhere. */
async function* samples(stream) {
  let odd = new Uint8Array(0);
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const bytes = new Uint8Array(odd.length + value.length);
    bytes.set(odd);
    bytes.set(value, odd.length);
    const even = bytes.length & ~1;
    odd = bytes.slice(even);
    if (even) yield new Int16Array(bytes.buffer.slice(0, even));
  }
}

function wav(pieces) {
  const size = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const ascii = (at, text) => [...text].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  ascii(0, "RIFF"); header.setUint32(4, 36 + size, true); ascii(8, "WAVEfmt ");
  header.setUint32(16, 16, true); header.setUint16(20, 1, true); header.setUint16(22, 1, true);
  header.setUint32(24, SAMPLE_RATE, true); header.setUint32(28, SAMPLE_RATE * 2, true);
  header.setUint16(32, 2, true); header.setUint16(34, 16, true);
  ascii(36, "data"); header.setUint32(40, size, true);
  return new Blob([header, ...pieces], { type: "audio/wav" });
}

function show(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

let speaking = null;

async function speak() {
  const controller = new AbortController();
  const player = new Player();
  const began = performance.now();
  const pieces = [];
  let made = 0, first = null;
  speaking = { controller, player };
  busy(true);
  show("error", "");
  $("progress").value = "Waiting for the first sound…";
  try {
    const response = await fetch(`${root}/v1/audio/speech`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ input: $("text").value, voice: $("voice").value, response_format: "pcm", sample_rate: SAMPLE_RATE }),
      signal: controller.signal,
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    for await (const piece of samples(response.body)) {
      first ??= (performance.now() - began) / 1000;
      player.play(piece);
      pieces.push(piece);
      made += piece.length / SAMPLE_RATE;
      $("progress").value = `First sound after ${first.toFixed(2)} s, ${made.toFixed(1)} s made…`;
    }
    $("progress").value = `First sound after ${first.toFixed(2)} s, ${made.toFixed(1)} s in all.`;
  } catch (error) {
    if (controller.signal.aborted) $("progress").value = `Stopped after ${made.toFixed(1)} s.`;
    else {
      $("progress").value = "";
      show("error", error instanceof TypeError ? "The connection broke before the end." : error.message);
    }
  } finally {
    busy(false);
    offer(pieces);
  }
}

function offer(pieces) {
  if (!pieces.length) return;
  const url = URL.createObjectURL(wav(pieces));
  for (const old of [$("player").src]) if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  $("player").src = $("download").href = url;
  $("player").hidden = $("download").hidden = false;
}

function busy(yes) {
  $("generate").disabled = yes;
  $("stop").disabled = !yes;
}

function stop() {
  speaking?.controller.abort();
  speaking?.player.close();
  speaking = null;
}

function showTags() {
  const language = $("voice").selectedOptions[0].dataset.language;
  $("tags").replaceChildren(...(emotionTags[language] ?? []).map((tag) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tag";
    button.textContent = `<${tag}>`;
    button.addEventListener("click", () => {
      const text = $("text");
      text.setRangeText(`<${tag}>`, text.selectionStart, text.selectionEnd, "end");
      text.focus();
    });
    return button;
  }));
}

async function showStatus() {
  const response = await fetch(`${root}/status`);
  if (!response.ok) return show("server", "");
  const status = await response.json();
  const server = status.inference_server;
  $("server").textContent = server?.reachable ? `${server.model ?? ""} on ${server.dialect}` : "No inference server answers";
  $("problems").replaceChildren(...status.problems.map((problem) => {
    const item = document.createElement("li");
    item.textContent = problem;
    return item;
  }));
  $("problems").hidden = !status.problems.length;
  const { hardware, plan, codec } = status;
  const gpu = hardware.device === "cpu" ? "none" : `${hardware.name}, ${hardware.vram_gb} GB` +
    (hardware.compute_capability ? `, compute capability ${hardware.compute_capability.join(".")}` : "");
  const rows = {
    GPU: gpu,
    Processor: `${hardware.cores} cores, ${hardware.threads} threads, ${hardware.ram_gb} GB of memory`,
    Plan: `${plan.mode}: ${plan.workers} segments at once, batches of ${plan.token_batch} tokens`,
    Codec: codec.ready ? `${codec.model} with ${codec.decoder} on ${codec.device}` : "not ready",
  };
  $("machine").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

$("speech").addEventListener("submit", (event) => {
  event.preventDefault();
  stop();
  speak();
});
$("stop").addEventListener("click", stop);
$("voice").addEventListener("change", showTags);
showTags();
showStatus();
