// npm `openai` against the server named by argv: speaks in every format, streams, and reports errors, as JSON.
import OpenAI, { APIConnectionError, APIError } from "openai";

const [baseURL, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const speech = { model: "tts-1", voice: "alloy", input: "Hello there." };

async function spoken() {
  const formats = {};
  for (const response_format of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
    const answer = await client.audio.speech.create({ ...speech, response_format });
    const audio = Buffer.from(await answer.arrayBuffer()).toString("base64");
    formats[response_format] = { type: answer.headers.get("content-type"), audio };
  }
  return formats;
}

async function streamed() {
  const answer = await client.audio.speech.create({ ...speech, response_format: "pcm" });
  const sizes = [];
  for await (const piece of answer.body) sizes.push(piece.length);
  return sizes;
}

async function events() {
  const answer = await client.audio.speech.create({ ...speech, response_format: "pcm", stream_format: "sse" });
  return await answer.text();
}

async function error(work) {
  try {
    await work();
  } catch (e) {
    const { status, code, param, type, message, requestID } = e;
    const kind = e.constructor.name;
    return { kind, status, code, param, type, message, requestID, api: e instanceof APIError, lost: e instanceof APIConnectionError };
  }
  return null;
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const guarded = new OpenAI({ baseURL: key, apiKey: "wrong", maxRetries: 0 });
const result = {
  models,
  model: (await client.models.retrieve("tts-1-hd")).id,
  spoken: await spoken(),
  streamed: await streamed(),
  events: await events(),
  errors: {
    voice: await error(() => client.audio.speech.create({ ...speech, voice: "nobody" })),
    input: await error(() => client.audio.speech.create({ ...speech, input: "" })),
    model: await error(() => client.models.retrieve("no/such-model")),
    route: await error(() => client.embeddings.create({ model: "x", input: "y" })),
    key: await error(() => guarded.audio.speech.create(speech)),
    upstream: await error(() => client.audio.speech.create({ ...speech, input: "Refuse." }, { maxRetries: 2 })),
    cut: await error(async () => (await client.audio.speech.create({ ...speech, input: "Break off." })).arrayBuffer()),
  },
};
console.log(JSON.stringify(result));
