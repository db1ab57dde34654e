"""Real processes: `python -m netfront` as a user starts it, between real clients and real servers."""
