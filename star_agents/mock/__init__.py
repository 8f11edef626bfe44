"""A wing of floor 3: an OpenAI-compatible server that makes its answers up, and fails on cue.

It knows nothing of the clients under test and shares no code with them. In a test:
`async with MockServer(script) as server: ... server.base_url ...`; as a program: `star-agents mock-server`.
"""
