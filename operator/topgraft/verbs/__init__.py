"""Verbs of the command line for users: they work with the user's own kubeconfig and rights, and need no operator."""
