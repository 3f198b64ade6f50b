// Both clients once, against a server with a real language model behind it: node real.mjs BASE_URL
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateSpeech as generateSpeech } from "ai";
import OpenAI from "openai";

const baseURL = process.argv[2];
const input = "The quick brown fox jumps over the lazy dog.";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const answer = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input, response_format: "pcm" });
const openai = (await answer.arrayBuffer()).byteLength;

const provider = createOpenAI({ baseURL, apiKey: "none" });
const { audio } = await generateSpeech({ model: provider.speech("tts-1"), text: input, voice: "alloy", outputFormat: "wav" });

console.log(JSON.stringify({ openai, ai: audio.uint8Array.length }));
