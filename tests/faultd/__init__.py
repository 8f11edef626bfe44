"""An OpenAI-compatible server that answers the same every time and fails on cue; its journal is the oracle.

In a test: `async with Faultd(script) as server: ... server.base_url ...`. As a program: `python -m tests.faultd`.
"""
