"""Long work that survives: books spoken segment by segment, each stored before it is counted."""
