"""The main job of the platform, start to end, by the ways that its users have; and a check of what comes out."""
