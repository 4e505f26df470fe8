import os

import anthropic

client = anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key=os.environ["ANTHROPIC"])
message = client.messages.create(
    model="claude-sonnet-5-5",
    max_tokens=64,
    messages=[{"role": "user", "content": f"hello from anthropic {anthropic.__version__}"}],
)
for block in message.content:
    if block.type == "text":
        print(block.text)
