"""The operator: Devboxes and GatewayConfigs become pods, tokens, policies and the documents that the gateway mirrors.

Pure modules (compile, lifecycle, pod, network, credentials, documents, status…) are called from reconcile; observe, apply and
watches talk to the API server."""
