"""The cluster: where it is, who we are there, and its API. It knows nothing of devboxes."""
