"""What a product is, how matches rank and which index answers. Standard library only."""
