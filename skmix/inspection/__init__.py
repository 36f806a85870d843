"""See what mixing did: which rows entered, what changed, and whether it helped."""
