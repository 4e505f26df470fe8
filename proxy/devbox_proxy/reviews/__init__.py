"""The cluster's own word on tokens: asked for, waited for, and asked for ahead of time."""
