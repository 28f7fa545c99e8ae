"""Tokens: who may call the local API over HTTP, and how much of it."""
