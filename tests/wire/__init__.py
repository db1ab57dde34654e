"""What stands on the wire, without any I/O: tables first, then properties."""
