// Vercel's `ai` with `@ai-sdk/openai` against the server named by argv: speech in every format, and errors, as JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech as generateSpeech } from "ai";

const provider = createOpenAI({ baseURL: process.argv[2], apiKey: "none" });

async function speak({ model = "tts-1", ...options }) {
  return await generateSpeech({ model: provider.speech(model), text: "Hello there.", maxRetries: 0, ...options });
}

async function error(options) {
  try {
    await speak(options);
  } catch (e) {
    return { kind: e.name, status: e.statusCode, message: e.message, retryable: e.isRetryable };
  }
  return null;
}

const spoken = {};
for (const outputFormat of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
  const { audio, warnings } = await speak({ outputFormat, voice: "alloy", speed: 1 });
  spoken[outputFormat] = { type: audio.mediaType, audio: audio.base64, warnings };
}
const plain = await speak({ model: "gpt-4o-mini-tts", instructions: "Speak slowly." });
const result = {
  spoken,
  plain: plain.audio.base64,
  errors: {
    voice: await error({ voice: "nobody" }),
    upstream: await error({ text: "Refuse." }),
    cut: await error({ text: "Break off." }),
  },
};
console.log(JSON.stringify(result));
