"""The room with I/O: daemon, sessions, store, transport, local API and CLI."""
