"""What a file of the retail dialect is, and what a job is. Standard library only."""
