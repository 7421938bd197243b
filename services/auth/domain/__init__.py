"""What auth knows. Standard library only."""
