"""One table a standard: its section, the bytes, and what must happen to them."""
