"""SEARCH, SORT and THREAD, their memories, and results that are kept up to date."""
