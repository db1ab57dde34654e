"""netfront: a load balancer, a reverse proxy and an API gateway, each from one line."""

__all__ = ["__version__"]

__version__ = "0.1.0"
