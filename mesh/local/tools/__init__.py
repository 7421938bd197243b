"""Tools that no package brings: found on this machine, or built or downloaded once into the user's cache."""
