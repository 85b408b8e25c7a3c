"""What is measured, one module per protocol."""
