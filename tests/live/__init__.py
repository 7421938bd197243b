"""Change without restart: settings, faults and splits."""
