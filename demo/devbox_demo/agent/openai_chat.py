import os

from openai import OpenAI, __version__

client = OpenAI(base_url=os.environ["OPENAI_URL"], api_key=os.environ["OPENAI"])
completion = client.chat.completions.create(
    model="gpt-5.5", messages=[{"role": "user", "content": f"hello from openai {__version__}"}]
)
print(completion.choices[0].message.content)
