# Claude Code. Its address and its token are aliases of the gateway ANTHROPIC: ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY.
set -e
cd "$(mktemp -d)"
claude -p "Run \`uname -n\` and write what it prints into \`$PWD/NAME.txt\`." --allowedTools Bash,Write </dev/null
cat NAME.txt
