curl -sS "$INTERNAL_URL/v1/customers?page=2" -H "X-Internal-Token: $INTERNAL"
