"""How many nets of one architecture are trained at once."""
