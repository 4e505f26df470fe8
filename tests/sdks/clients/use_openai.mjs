// What programs do with the OpenAI SDK for TypeScript. Run by tests/sdks.
import OpenAI, { toFile } from "openai";
import { OpenAIRealtimeWebSocket } from "openai/realtime/websocket";
import { VERSION } from "openai/version.mjs";
import { TOOL, newFile, say, serve, weather, wrong } from "./facts.mjs";

const { OPENAI_URL: baseURL, OPENAI: apiKey } = process.env;
const client = new OpenAI({ baseURL, apiKey });
const asked = { model: "gpt-5.5", messages: [{ role: "user", content: "count" }] };

async function ask(client, options) {
  const completion = await client.chat.completions.create(asked, options);
  say({ text: completion.choices[0].message.content });
}

function ownVariables() {
  Object.assign(process.env, { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey });
  return ask(new OpenAI());
}

async function baseUrls() {
  const ends = ["", "/", "/v1", "/v1/"];
  for (const end of ends) await ask(new OpenAI({ baseURL: baseURL + end, apiKey }));
  say({ urls: ends.length });
}

async function stream() {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    const piece = chunk.choices[0].delta.content;
    if (piece) say({ piece });
    text += piece ?? "";
  }
  say({ text });
}

async function tools() {
  const tools = [{ type: "function", function: { name: TOOL.name, parameters: TOOL.schema } }];
  const messages = [{ role: "user", content: "How warm is it in Zürich?" }];
  const first = (await client.chat.completions.create({ ...asked, messages, tools })).choices[0].message;
  const [use] = first.tool_calls;
  messages.push(first, { role: "tool", tool_call_id: use.id, content: weather(JSON.parse(use.function.arguments)) });
  say({ text: (await client.chat.completions.create({ ...asked, messages, tools })).choices[0].message.content });
}

async function upload(client) {
  const file = await client.files.create({ file: await toFile(newFile(), "data.bin"), purpose: "user_data" });
  say({ bytes: file.bytes });
}

// Node's own WebSocket, which can send no headers: the SDK puts the key into the subprotocols.
function realtime() {
  return new Promise((resolve, reject) => {
    const connection = new OpenAIRealtimeWebSocket({ model: "gpt-realtime-2" }, client);
    connection.on("error", reject);
    connection.on("session.created", (event) => {
      say({ created: event.type, compressed: connection.socket.extensions.includes("permessage-deflate") });
      connection.send({ type: "response.create" });
    });
    connection.on("response.output_text.delta", (event) => say({ piece: event.delta }));
    connection.on("response.done", () => resolve(connection.close()));
  });
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
    realtime,
    "wrong token": () => ask(new OpenAI({ baseURL, apiKey: wrong(apiKey) })),
    "wrong token upload": () => upload(new OpenAI({ baseURL, apiKey: wrong(apiKey), maxRetries: 0 })),
  },
  (error) => ({ status: error.status, body: error.error }),
);
