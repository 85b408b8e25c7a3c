"""Scripts at work: run over what comes in, what accounts submit and what IMAP does, and their actions carried out."""
