"""Scripts at work: on what comes in, on what accounts submit, on what IMAP does; and their actions done."""
