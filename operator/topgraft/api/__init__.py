"""The three kinds of topgraft.dev/v1alpha1 as frozen pydantic models, and the CRDs and reference made from them."""
