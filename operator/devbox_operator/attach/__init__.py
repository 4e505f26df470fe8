"""What is done to a pod so that it can use gateways."""
