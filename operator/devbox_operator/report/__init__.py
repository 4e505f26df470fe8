"""From what was found to conditions, Events and statuses."""
