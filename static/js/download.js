// A clip as a file of any format. WAV and PCM are made here; the others by the server's encoders, without the model.

import { request } from "./api.js";
import { wav } from "./clip.js";
import { fileName, saveFile } from "./page.js";

export async function download(samples, format, text) {
  saveFile(await encoded(samples, format), fileName(text, format));
}

async function encoded(samples, format) {
  if (format === "wav") return wav(samples);
  const pcm = new Blob([samples]);
  if (format === "pcm") return pcm;
  return (await request(`/page/encode?to=${format}`, { method: "POST", body: pcm })).blob();
}
