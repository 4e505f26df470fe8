// What programs do with the Anthropic SDK for TypeScript. Run by tests/sdks.
import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { VERSION } from "@anthropic-ai/sdk/version.mjs";
import { TOOL, newFile, say, serve, weather, wrong } from "./facts.mjs";

const { ANTHROPIC_URL: baseURL, ANTHROPIC: apiKey } = process.env;
const client = new Anthropic({ baseURL, apiKey });
const asked = { model: "claude-sonnet-5-5", max_tokens: 64, messages: [{ role: "user", content: "count" }] };

async function ask(client, options) {
  const message = await client.messages.create(asked, options);
  say({ text: message.content.map((block) => block.text).join("") });
}

function ownVariables() {
  Object.assign(process.env, { ANTHROPIC_BASE_URL: baseURL, ANTHROPIC_API_KEY: apiKey });
  return ask(new Anthropic());
}

async function baseUrls() {
  const ends = ["", "/"];
  for (const end of ends) await ask(new Anthropic({ baseURL: baseURL + end, apiKey }));
  say({ urls: ends.length });
}

async function stream() {
  const events = client.messages.stream(asked);
  for await (const event of events)
    if (event.type === "content_block_delta") say({ piece: event.delta.text });
  say({ text: await events.finalText() });
}

async function tools() {
  const tools = [{ name: TOOL.name, description: TOOL.description, input_schema: TOOL.schema }];
  const messages = [{ role: "user", content: "How warm is it in Zürich?" }];
  const first = await client.messages.create({ ...asked, messages, tools });
  const use = first.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: use.id, content: weather(use.input) };
  messages.push({ role: "assistant", content: first.content }, { role: "user", content: [result] });
  const message = await client.messages.create({ ...asked, messages, tools });
  say({ text: message.content.map((block) => block.text).join("") });
}

async function upload(client) {
  const file = await client.files.upload({ file: await toFile(newFile(), "data.bin") });
  say({ bytes: file.size_bytes });
}

await serve(
  VERSION,
  {
    plain: () => ask(client),
    "own variables": ownVariables,
    "base urls": baseUrls,
    stream,
    tools,
    upload: () => upload(client),
    fail: () => ask(client, { maxRetries: 0 }),
    retry: () => ask(client),
    "wrong token": () => ask(new Anthropic({ baseURL, apiKey: wrong(apiKey) })),
    "wrong token upload": () => upload(new Anthropic({ baseURL, apiKey: wrong(apiKey), maxRetries: 0 })),
  },
  (error) => ({ status: error.status, body: error.error }),
);
