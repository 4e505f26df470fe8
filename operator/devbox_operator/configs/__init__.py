"""GatewayConfigs, EgressPolicies and the Secrets that they use become what the gateway reads."""
