"""Telling other domains how TLS with them fared."""
