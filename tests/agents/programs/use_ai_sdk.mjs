// Vercel's AI SDK with tools. Arguments: what is asked, and whose model.
import { exec } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { anthropic } from '@ai-sdk/anthropic'
import { openai } from '@ai-sdk/openai'
import { generateText, stepCountIs, tool } from 'ai'
import { z } from 'zod'

const [, , prompt, whose] = process.argv
const { text } = await generateText({
  model: whose === 'openai' ? openai('gpt-5.5') : anthropic('claude-opus-5-5'),
  prompt,
  stopWhen: stepCountIs(5),
  tools: {
    run_shell_command: tool({
      inputSchema: z.object({ command: z.string() }),
      execute: async ({ command }) => (await promisify(exec)(command)).stdout,
    }),
    write_file: tool({
      inputSchema: z.object({ file_path: z.string(), content: z.string() }),
      execute: async ({ file_path: path, content }) => { await writeFile(path, content); return `wrote ${path}` },
    }),
  },
})
console.log(text)
