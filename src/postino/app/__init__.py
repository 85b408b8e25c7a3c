"""Settings, wiring, supervisor and workers: the only place where concrete engines are chosen."""
