"""The API of devbox-gateway as data: the custom resources, the documents that the operator hands to the gateway, and the
names that several parts share. Imports pydantic and nothing that talks to anybody; everything else stands on it."""
