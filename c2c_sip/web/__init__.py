"""What a browser gets: the call button and the console."""
