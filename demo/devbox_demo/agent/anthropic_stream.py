import os
import time

import anthropic

client = anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key=os.environ["ANTHROPIC"])
start = time.monotonic()
with client.messages.stream(
    model="claude-sonnet-5-5",
    max_tokens=64,
    messages=[{"role": "user", "content": "one two three four five six"}],
) as stream:
    for event in stream:
        at = f"{time.monotonic() - start:.3f}"
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            print(at, event.type, event.delta.text.strip(), flush=True)
        else:
            print(at, event.type, flush=True)
