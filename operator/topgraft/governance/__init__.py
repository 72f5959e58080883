"""Rules about records: which version counts, what is asked of it, how two differ. Pure, and knows nothing of pods."""
