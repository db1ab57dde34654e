"""What several tests need: origins, clients and servers, and netfront as a process."""
