"""Which files a request passes through in the gateway, and an apply in the operator."""
