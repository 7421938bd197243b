"""Two services on the mesh: `greeter` calls `names`."""
