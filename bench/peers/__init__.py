"""The servers under test, each started on loopback with its own directory and stopped again."""
