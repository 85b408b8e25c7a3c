"""Regular expressions that no pattern and no text can hang: POSIX extended ones, in linear time."""
