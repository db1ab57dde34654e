"""Decisions, without any I/O: tables first, then properties."""
