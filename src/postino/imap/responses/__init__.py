"""What the server says: untagged data, response codes, FETCH items."""
