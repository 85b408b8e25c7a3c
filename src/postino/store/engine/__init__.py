"""The databases the store runs on; the only place that knows which."""
