"""The container that holds a devbox's agent back until its confinement is seen to work. Standard library alone: it starts in every
devbox pod, in little memory, and nothing in it is worth anything."""
