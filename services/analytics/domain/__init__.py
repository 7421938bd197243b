"""What can be asked, what the figures mean and which edition of the lake answers. Standard library only."""
