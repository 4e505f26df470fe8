import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.env.OPENAI_URL, apiKey: process.env.OPENAI });
const completion = await client.chat.completions.create({
  model: "gpt-5.5",
  messages: [{ role: "user", content: "hello from TypeScript" }],
});
const text: string | null = completion.choices[0].message.content;
console.log(text);
