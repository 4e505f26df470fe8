"""What operator and gateway share: the API client, the list+watch mirror, settings, logging, and a string that cannot print
itself. Stands on devbox_api; knows neither operator nor gateway."""
