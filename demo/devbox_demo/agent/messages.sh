curl -sS -X POST "$ANTHROPIC_URL/v1/messages" \
  -H "Authorization: Bearer $ANTHROPIC" \
  -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \
  -d '{"model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello from curl"}]}'
