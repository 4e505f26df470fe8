"""Confinement, measured by packets: what leaves a devbox is counted where it would arrive, never in the devbox itself."""
