"""The operator: Devboxes, GatewayConfigs and EgressPolicies become pods, tokens, policies and the documents that the gateway mirrors.

`watch` keeps what the API server has (views of it are `seen`) and wakes whoever is concerned; `devbox`, `configs` and `release`
observe, decide and apply, by what `attach` does to pods and what `documents` tell the gateway; `report` tells people.
docs/architecture.md has the map of the wings.
"""
