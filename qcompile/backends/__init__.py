"""Backends: a scheduled design as source text."""
