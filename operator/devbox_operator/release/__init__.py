"""What the release needs of itself: certificates, the floor, the positive control, the sweep."""
