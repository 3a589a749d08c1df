"""What a browser gets: the call button."""
