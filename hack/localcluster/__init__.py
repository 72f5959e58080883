"""A whole Kubernetes on one Linux machine: see README.md."""
