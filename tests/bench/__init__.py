"""netfront beside nginx, HAProxy and Caddy in one run: CPU per request. Not run by pytest; see README.md."""
