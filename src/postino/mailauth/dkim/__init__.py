"""DomainKeys Identified Mail: signing, verifying, and the records that hold the keys."""
