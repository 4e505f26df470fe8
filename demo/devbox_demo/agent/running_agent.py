"""An agent at work: one client, one call every 50 ms, one line per call, until standard input is closed.

Line: `<unix time> <status> <organisation that the API says the key belongs to>`.
"""

import os
import select
import sys
import time

import anthropic

client = anthropic.Anthropic(base_url=os.environ["ANTHROPIC_URL"], api_key=os.environ["ANTHROPIC"], max_retries=0)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    try:
        answer = client.messages.with_raw_response.create(
            model="claude-haiku-5-5", max_tokens=8, messages=[{"role": "user", "content": "still there?"}]
        )
        status, organisation = answer.http_response.status_code, answer.headers["anthropic-organization-id"]
    except anthropic.APIStatusError as error:
        status, organisation = error.status_code, "-"
    except anthropic.APIConnectionError as error:
        status, organisation = 0, type(error.__cause__).__name__
    print(f"{time.time():.3f} {status} {organisation}", flush=True)
