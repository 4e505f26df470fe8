# Codex. Its token is an alias of the gateway OPENAI, CODEX_API_KEY; it reads its address from a file alone. It would lock its commands up
# by means that a container has not: the devbox is what holds them.
set -e
cd "$(mktemp -d)"
mkdir -p ~/.codex
printf 'openai_base_url = "%s"\nmodel = "gpt-5.5"\n' "$OPENAI_URL" > ~/.codex/config.toml
codex exec --skip-git-repo-check --sandbox danger-full-access \
  "Run \`uname -n\` and write what it prints into \`$PWD/NAME.txt\`." </dev/null 2>transcript || { cat transcript >&2; exit 1; }
cat NAME.txt
