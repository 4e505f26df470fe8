"""Would a devbox's request pass, and why: answered by the very functions that the gateway decides by (devbox_api.judge)."""
