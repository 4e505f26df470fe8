"""Commands and files in a devbox, over the API server's pods/exec: nothing of ours is in the image."""
