"""Gateway configs, secrets, network policies, devboxes: what a person works with, each the face of one object of the cluster."""
