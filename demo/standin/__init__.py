"""A stand-in for four APIs (Anthropic's, OpenAI's, Gemini's and one internal one) on one HTTPS port, told apart by the Host header.

It speaks their wire formats (JSON and server-sent events), answers 401 in their words to anything but a key it knows in the
place where that API wants it, and keeps what it received so that a test can look. Needs Python 3.11 and aiohttp.
"""
