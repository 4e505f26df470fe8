// How a client program talks to the tests: as facts.py, for Node.
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

const FILE_BYTES = 3 * 2 ** 20;

export const say = (fact) => process.stdout.write(JSON.stringify(fact) + "\n");

export async function serve(version, scenarios, about) {
  say({ version });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await scenarios[line.trim()]();
    } catch (error) {
      say({ raised: error.constructor.name, said: String(error.message), ...about(error) });
    }
    say({ done: true });
  }
}

export function newFile() {
  const content = randomBytes(FILE_BYTES);
  say({ sha256: createHash("sha256").update(content).digest("hex") });
  return content;
}

export const wrong = (token) => token.slice(0, -6) + (token.endsWith("AAAAAA") ? "BBBBBB" : "AAAAAA");

export function weather({ city }) {
  say({ tool: city });
  return "7 degrees";
}

export const TOOL = {
  name: "weather",
  description: "The temperature in a city",
  schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
