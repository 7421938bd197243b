"""What sales knows. Standard library only."""
